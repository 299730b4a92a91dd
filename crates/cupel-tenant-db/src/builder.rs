use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cupel_tenant::Severity;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::context::Context;
use crate::db::Inner;
use crate::pool::{Pool, Times};
use crate::power::{self, Facts};
use crate::seal::Sealer;
use crate::states::States;
use crate::{ContextMode, Error, SealKey, TenantDb, audit, look};

/// How a [`TenantDb`] connects. Made by [`TenantDb::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct TenantDbBuilder {
    url: String,
    admin_url: Option<String>,
    replica_url: Option<String>,
    max_connections: u32,
    times: Times,
    context: Option<ContextMode>,
    seal_key: Option<SealKey>,
    behind_pooler: bool,
    allow_plaintext: bool,
    allow_critical_findings: bool,
}

impl TenantDbBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            admin_url: None,
            replica_url: None,
            max_connections: 10,
            times: Times::default(),
            context: None,
            seal_key: None,
            behind_pooler: false,
            allow_plaintext: false,
            allow_critical_findings: false,
        }
    }

    /// The URL of the admin role. Without it there is no admin path, no registry and no lifecycle.
    pub fn admin_url(self, url: &str) -> Self {
        Self { admin_url: Some(url.to_owned()), ..self }
    }

    /// The URL of a read replica, as the application's role: [`TenantDb::begin_on_replica`] reads there. The
    /// same rules hold for it.
    pub fn replica_url(self, url: &str) -> Self {
        Self { replica_url: Some(url.to_owned()), ..self }
    }

    /// The most connections of the application's pool, and as many of its replica; 10 unless told, as in sqlx.
    pub fn max_connections(self, max: u32) -> Self {
        Self { max_connections: max, ..self }
    }

    /// How long a connection is waited for, until [`Error::PoolExhausted`]; 30 seconds unless told, as in sqlx.
    ///
    /// A new one counts by itself: the server must answer within this time, and one that starts or is full is tried
    /// again for as long, until [`Error::Unreachable`].
    pub fn acquire_timeout(self, time: Duration) -> Self {
        Self { times: Times { acquire: time, ..self.times }, ..self }
    }

    /// How long a connection that nobody uses is kept; 10 minutes unless told, as in sqlx.
    pub fn idle_timeout(self, time: Duration) -> Self {
        Self { times: Times { idle: time, ..self.times }, ..self }
    }

    /// How long a connection is used, whoever waits for it, until it is closed as it comes back and another is
    /// opened; 30 minutes unless told, as in sqlx.
    pub fn max_lifetime(self, time: Duration) -> Self {
        Self { times: Times { life: time, ..self.times }, ..self }
    }

    /// Insists on how a transaction tells the server whose it is. Left out, it is as the database was
    /// migrated.
    pub fn context(self, mode: ContextMode) -> Self {
        Self { context: Some(mode), ..self }
    }

    /// The key that contexts are sealed with, where the database wants them sealed.
    pub fn seal_key(self, key: SealKey) -> Self {
        Self { seal_key: Some(key), ..self }
    }

    /// Says that the URL, and the replica's, leads to a pooler which hands out backends by the transaction, such as PgBouncer
    /// with `pool_mode = transaction`. Statements are then not kept prepared, and a seal is bound to a
    /// nonce, since no backend is ours; and what a transaction may have left in a session is cleared as it
    /// ends. The admin URL must lead to the server itself.
    pub fn behind_pooler(self, behind_pooler: bool) -> Self {
        Self { behind_pooler, ..self }
    }

    /// Says whether the network beyond loopback may be used without encryption, or without checking
    /// the server's certificate. It may not without this; a development environment may.
    pub fn allow_plaintext(self, allow_plaintext: bool) -> Self {
        Self { allow_plaintext, ..self }
    }

    /// Says whether a database is connected to that its audit finds broken: for tools that look for what
    /// is wrong, and for development. The findings are then warnings in the log.
    pub fn allow_critical_findings(self, allow_critical_findings: bool) -> Self {
        Self { allow_critical_findings, ..self }
    }

    /// Connects, and refuses what is not isolated.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] and [`Error::PlainText`] before any I/O;
    /// [`Error::LoginRefused`], [`Error::DatabaseMissing`] and [`Error::Unreachable`];
    /// [`Error::PowerfulRole`] if the application's role is or can become a superuser, the owner of a
    /// table of tenants, exempt from row-level security, or a role that replicates or makes roles;
    /// [`Error::NotMigrated`], [`Error::ContextMismatch`] and [`Error::NoSealKey`]; [`Error::Unsafe`] if the audit has critical findings.
    pub async fn connect(self) -> Result<TenantDb, Error> {
        let mut app = connect_options(&self.url, "app", self.allow_plaintext)?;
        let mut admin = self
            .admin_url
            .as_deref()
            .map(|url| connect_options(url, "admin", self.allow_plaintext))
            .transpose()?;
        let mut replica = self
            .replica_url
            .as_deref()
            .map(|url| connect_options(url, "replica", self.allow_plaintext))
            .transpose()?;
        let endpoint = format!(
            "{}:{}/{}",
            app.get_host(),
            app.get_port(),
            app.get_database().unwrap_or(app.get_username())
        );
        if self.behind_pooler {
            app = app.statement_cache_capacity(0);
            replica = replica.map(|options| options.statement_cache_capacity(0));
        }
        let facts = check(&app, "app", self.behind_pooler).await?;
        let context = self.context_of(&facts)?;
        if facts.mode != ContextMode::Plain {
            // The statement that opens a transaction holds the seal.
            app = app.disable_statement_logging();
            admin = admin.map(ConnectOptions::disable_statement_logging);
            replica = replica.map(ConnectOptions::disable_statement_logging);
        }
        if let Some(replica) = &replica {
            check(replica, "replica", self.behind_pooler).await?;
        }
        if let Some(admin) = &admin {
            check(admin, "admin", false).await?;
        }
        let unbind = context.unbind();
        let pool = |options, which, max| Pool::new(options, which, max, self.times, unbind);
        let db = TenantDb::new(Inner {
            pool: pool(app, "app", self.max_connections),
            admin: admin.map(|options| pool(options, "admin", ADMIN_CONNECTIONS)),
            replica: replica
                .map(|options| (pool(options, "replica", self.max_connections), States::new())),
            column_type: facts.column_type,
            endpoint,
            states: States::new(),
            context: Arc::new(context),
            behind_pooler: self.behind_pooler,
        });
        self.look_for_findings(&db).await?;
        Ok(db)
    }

    fn context_of(&self, facts: &Facts) -> Result<Context, Error> {
        let found = facts.mode.as_str();
        if let Some(wanted) = self.context.filter(|wanted| *wanted != facts.mode) {
            return Err(Error::ContextMismatch { wanted: wanted.as_str(), found });
        }
        let sealer = || {
            let key = self.seal_key.as_ref().ok_or(Error::NoSealKey { mode: found })?;
            Ok::<_, Error>(Sealer::new(key, facts.ahead))
        };
        Ok(match facts.mode {
            ContextMode::Plain => Context::Plain,
            ContextMode::Sealed => Context::Sealed(sealer()?),
            ContextMode::Register => Context::Register(sealer()?),
        })
    }

    async fn look_for_findings(&self, db: &TenantDb) -> Result<(), Error> {
        let mut findings = audit::audit(db).await?;
        findings.retain(|it| it.severity == Severity::Critical);
        if findings.is_empty() {
            return Ok(());
        }
        if !self.allow_critical_findings {
            return Err(Error::Unsafe { findings });
        }
        for finding in findings {
            tracing::warn!(
                rule = finding.rule,
                object = finding.object,
                fix = finding.fix,
                "the database does not keep organizations apart: {}",
                finding.problem
            );
        }
        Ok(())
    }
}

impl fmt::Debug for TenantDbBuilder {
    /// Leaves the URLs out: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDbBuilder")
            .field("max_connections", &self.max_connections)
            .field("times", &self.times)
            .field("context", &self.context)
            .field("seal_key", &self.seal_key)
            .field("behind_pooler", &self.behind_pooler)
            .field("allow_plaintext", &self.allow_plaintext)
            .field("allow_critical_findings", &self.allow_critical_findings)
            .finish_non_exhaustive()
    }
}

/// Administration is rare and must not starve the application of the server's connections.
const ADMIN_CONNECTIONS: u32 = 4;

/// Reads a URL, and refuses one that would send rows and passwords over a network for others to read.
pub(crate) fn connect_options(
    url: &str,
    which: &'static str,
    allow_plaintext: bool,
) -> Result<PgConnectOptions, Error> {
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let options = match PgConnectOptions::from_str(url) {
        Ok(options) if known => options,
        _ => return Err(Error::InvalidUrl { which }),
    };
    let checked = matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull);
    if allow_plaintext || checked || is_local(&options) {
        Ok(options)
    } else {
        Err(Error::PlainText { which })
    }
}

/// Whether the server is reached without a network: by a socket, or on loopback.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// One connection, opened here and not by the pool, that looks at the role and the database.
async fn check(
    options: &PgConnectOptions,
    which: &'static str,
    behind_pooler: bool,
) -> Result<Facts, Error> {
    let mut conn = PgConnection::connect_with(options).await.map_err(Error::connect(which))?;
    look::begin(&mut conn, behind_pooler).await?;
    let facts = power::check(&mut conn, which).await?;
    look::end(&mut conn, behind_pooler).await?;
    let _ = conn.close().await;
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_the_certificate_is_checked() {
        let refused =
            |url: &str| matches!(connect_options(url, "app", false), Err(Error::PlainText { .. }));
        for url in [
            "postgres://a:b@localhost/c",
            "postgres://a:b@127.0.0.1:5432/c",
            "postgres://a:b@[::1]/c",
            "postgres://a:b@%2Fvar%2Frun%2Fpostgresql/c",
            "postgres://a:b@db.example/c?sslmode=verify-full",
            "postgres://a:b@db.example/c?sslmode=verify-ca",
        ] {
            assert!(!refused(url), "{url}");
        }
        for url in [
            "postgres://a:b@db.example/c",
            "postgres://a:b@10.0.0.1/c?sslmode=disable",
            "postgres://a:b@db.example/c?sslmode=prefer",
            // Encrypted, to whoever answers.
            "postgres://a:b@db.example/c?sslmode=require",
            "postgres://a:b@localhost.example/c",
        ] {
            assert!(refused(url), "{url}");
            assert!(connect_options(url, "app", true).is_ok(), "{url}");
        }
    }
}
