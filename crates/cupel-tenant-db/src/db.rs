use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cupel_tenant::{OrgState, TenantScope};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, SqlStr};

use crate::context::opening;
use crate::lease::Lease;
use crate::{ColumnType, ContextMode, DbRegistry, Error, ScopedDb, TenantTx, power};

/// The database, by organization.
///
/// It builds its own pool, because what makes a connection safe to give back is part of the isolation
/// and must not be forgotten. Cloning is cheap: the pool is shared.
#[derive(Clone)]
pub struct TenantDb(Arc<Inner>);

struct Inner {
    pool: PgPool,
    admin: Option<PgPool>,
    column_type: ColumnType,
    endpoint: String,
}

impl TenantDb {
    /// Connects as the application's role, with the defaults of [`TenantDb::builder`].
    ///
    /// # Errors
    ///
    /// As [`TenantDbBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Starts from the URL of the application's role.
    pub fn builder(url: &str) -> TenantDbBuilder {
        TenantDbBuilder {
            url: url.to_owned(),
            admin_url: None,
            max_connections: 10,
            context: ContextMode::Plain,
        }
    }

    /// Returns the database of one scope: the same calls, without naming it each time.
    pub fn scoped(&self, scope: &TenantScope) -> ScopedDb {
        ScopedDb::new(self.clone(), scope)
    }

    /// Opens a transaction that sees the scope and nothing else, in one round trip.
    ///
    /// The isolation level is the role's `default_transaction_isolation`.
    ///
    /// # Errors
    ///
    /// [`Error::SlugOnUuid`] before any I/O; [`Error::OrgRefused`] if the registry has the
    /// organization suspended or on its way out; [`Error::Unreachable`] if there is no connection.
    pub async fn begin(&self, scope: &TenantScope) -> Result<TenantTx, Error> {
        self.begin_shared(Arc::new(scope.clone())).await
    }

    pub(crate) async fn begin_shared(&self, scope: Arc<TenantScope>) -> Result<TenantTx, Error> {
        self.0.column_type.check(&scope)?;
        let lease = self.open(&opening(&scope)).await?;
        Ok(TenantTx::new(lease, scope))
    }

    async fn open(&self, opening: &SqlStr) -> Result<Lease, Error> {
        let (lease, state) = Lease::open(&self.0.pool, opening).await?;
        match state.map(|text| text.parse()) {
            // Whether an unknown organization is let in is the question of whoever keeps the registry.
            None | Some(Ok(OrgState::Onboarding | OrgState::Active)) => Ok(lease),
            Some(state) => {
                lease.rollback().await?;
                Err(state.map_or(Error::NotMigrated, |state| Error::OrgRefused { state }))
            }
        }
    }

    /// Returns the registry of organizations, which is kept over the admin path; `None` without one.
    pub fn registry(&self) -> Option<DbRegistry> {
        self.0.admin.clone().map(DbRegistry::new)
    }

    /// Returns the type of the columns that name organizations.
    pub fn column_type(&self) -> ColumnType {
        self.0.column_type
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(crate) fn admin_pool(&self) -> Result<&PgPool, Error> {
        self.0.admin.as_ref().ok_or(Error::NoAdmin)
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// Returns the same database over a pool of one connection, on which every borrower follows the
    /// one before.
    pub(crate) fn with_one_connection(&self) -> Self {
        let options = self.0.pool.connect_options();
        Self(Arc::new(Inner {
            pool: pool_options(1).connect_lazy_with((*options).clone()),
            admin: self.0.admin.clone(),
            column_type: self.0.column_type,
            endpoint: self.0.endpoint.clone(),
        }))
    }
}

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDb").field("endpoint", &self.0.endpoint).finish_non_exhaustive()
    }
}

/// How a [`TenantDb`] connects. Made by [`TenantDb::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct TenantDbBuilder {
    url: String,
    admin_url: Option<String>,
    max_connections: u32,
    context: ContextMode,
}

impl TenantDbBuilder {
    /// The URL of the admin role. Without it there is no admin path, no registry and no lifecycle.
    pub fn admin_url(self, url: &str) -> Self {
        Self { admin_url: Some(url.to_owned()), ..self }
    }

    /// The most connections of the application's pool; 10 unless told, as in sqlx.
    pub fn max_connections(self, max: u32) -> Self {
        Self { max_connections: max, ..self }
    }

    /// How a transaction tells the server whose it is.
    pub fn context(self, mode: ContextMode) -> Self {
        Self { context: mode, ..self }
    }

    /// Connects, and refuses what is not isolated.
    ///
    /// # Errors
    ///
    /// [`Error::ContextModeNotBuilt`] and [`Error::InvalidUrl`] before any I/O;
    /// [`Error::LoginRefused`], [`Error::DatabaseMissing`] and [`Error::Unreachable`];
    /// [`Error::PowerfulRole`] if the application's role is or can become a superuser, the owner of a
    /// table of tenants or exempt from row-level security; [`Error::NotMigrated`].
    pub async fn connect(self) -> Result<TenantDb, Error> {
        self.context.check()?;
        let app = connect_options(&self.url, "app")?;
        let admin =
            self.admin_url.as_deref().map(|url| connect_options(url, "admin")).transpose()?;
        let endpoint = format!(
            "{}:{}/{}",
            app.get_host(),
            app.get_port(),
            app.get_database().unwrap_or(app.get_username())
        );
        let (pool, column_type) = open_pool(app, "app", self.max_connections).await?;
        let admin = match admin {
            Some(options) => Some(open_pool(options, "admin", ADMIN_CONNECTIONS).await?.0),
            None => None,
        };
        Ok(TenantDb(Arc::new(Inner { pool, admin, column_type, endpoint })))
    }
}

impl fmt::Debug for TenantDbBuilder {
    /// Leaves the URLs out: they hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantDbBuilder")
            .field("max_connections", &self.max_connections)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Administration is rare and must not starve the application of the server's connections.
const ADMIN_CONNECTIONS: u32 = 4;

pub(crate) fn connect_options(url: &str, which: &'static str) -> Result<PgConnectOptions, Error> {
    let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    match PgConnectOptions::from_str(url) {
        Ok(options) if known => Ok(options),
        _ => Err(Error::InvalidUrl { which }),
    }
}

fn pool_options(max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max)
        // `Lease::open` replaces a dead connection itself, without asking each time.
        .test_before_acquire(false)
}

async fn open_pool(
    options: PgConnectOptions,
    which: &'static str,
    max: u32,
) -> Result<(PgPool, ColumnType), Error> {
    // One connection, opened here and not by the pool: the pool would retry a refusal until its timeout.
    let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect_with(&options)
        .await
        .map_err(Error::connect(which))?;
    let column_type = power::check(&mut conn, which).await?;
    let _ = sqlx::Connection::close(conn).await;
    // What runs on the admin pool outside a lease has nothing that would replace a dead connection.
    let pool = pool_options(max).test_before_acquire(which == "admin");
    Ok((pool.connect_lazy_with(options), column_type))
}
