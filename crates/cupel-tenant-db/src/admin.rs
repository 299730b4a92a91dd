use std::fmt;
use std::time::Instant;

use cupel_tenant::{OrgId, TenantScope};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Connection, Describe, Either, Execute, Executor, PgConnection, Postgres,
    SqlSafeStr, SqlStr,
};
use tokio::task::JoinHandle;

use crate::grant::{Access, Reach, Ready};
use crate::lease::{End, Lease};
use crate::pool::{Opening, Pool};
use crate::schema::ident;
use crate::watched::Watched;
use crate::{AdminGrant, Error, TenantDb, admitted};

/// A transaction that reaches beyond one organization. Its row in the access log was committed before
/// it began.
///
/// `&mut AdminTx` is an sqlx executor of statements that read or write rows, one at a time: what could end the
/// transaction, or take its role back, is [`Error::NotAdmitted`], and several in one text are refused by the server.
/// Every statement is refused once the grant has expired, the server ends one that is still running then, and a session
/// that waits longer.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct AdminTx {
    lease: Lease,
    expires: Instant,
    access: Access,
    reach: Reach,
    db: TenantDb,
    _deadline: Deadline,
}

/// What ends the session of an admin transaction that is still there when its grant is over, whatever
/// it is doing then: a statement's own timeout counts from the statement's beginning. Dropped, it lets
/// the session live.
#[derive(Debug)]
struct Deadline(JoinHandle<()>);

impl Deadline {
    fn at(expires: Instant, backend: i32, pool: Pool) -> Self {
        Self(tokio::spawn(async move {
            tokio::time::sleep_until(expires.into()).await;
            if let Err(error) = terminate(&pool, backend).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an admin transaction was not ended with its grant"
                );
            }
        }))
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Ends another session of the admin role.
async fn terminate(pool: &Pool, backend: i32) -> Result<(), Error> {
    let mut conn = pool.aside().await?;
    sqlx::query("SELECT pg_catalog.pg_terminate_backend($1)")
        .bind(backend)
        .execute(&mut conn)
        .await
        .map_err(Error::statement("ending an admin transaction"))?;
    let _ = conn.close().await;
    Ok(())
}

impl TenantDb {
    /// Opens an admin transaction, after its row in the access log is committed.
    ///
    /// A grant for all organizations runs as the admin role, which is exempt from row-level security.
    /// One for named organizations takes the application's role for the transaction, so that the
    /// server itself shows nothing but the organization that was entered: the only one named, or the
    /// one given to [`AdminTx::enter`]. Suspended organizations can be entered.
    ///
    /// What limits a grant is of its transaction, and the login may do more. So the transaction runs nothing that ends it
    /// or that takes the role back, alone or behind another statement. Where no superuser ran the migration, `set_config`
    /// is still everybody's, and a SELECT can take the role back by it: the audit says so (F4). So can one by a function
    /// of the database that runs with its caller's rights and executes text that it is given.
    ///
    /// Dropping the future leaves at most a row in the log for an access that did not happen.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdmin`], [`Error::InvalidGrant`] and [`Error::GrantExpired`] before any I/O;
    /// [`Error::AccessNotLogged`], and then there is no access.
    pub async fn admin(&self, grant: &AdminGrant<Ready>) -> Result<AdminTx, Error> {
        let pool = self.admin_pool()?;
        let left = grant.check()?;
        let orgs = match grant.reach() {
            Reach::All => None,
            Reach::Named(orgs) => Some(orgs.iter().map(ToString::to_string).collect::<Vec<_>>()),
        };
        let millis = u32::try_from(left.as_millis().max(1)).unwrap_or(u32::MAX);
        let (actor, reason, ticket, approver) = grant.texts();
        let mut session = pool.lend_tested().await?;
        let app_role: String = sqlx::query_scalar(
            "SELECT s.app_role FROM cupel.log_access($1, $2, $3, $4, $5, $6, $7) logged,
               cupel.settings() s WHERE logged IS NOT NULL",
        )
        .bind(actor)
        .bind(reason)
        .bind(ticket)
        .bind(approver)
        .bind(grant.access().as_str())
        .bind(orgs)
        .bind(i64::from(millis))
        .fetch_one(session.connection())
        .await
        .map_err(|error| Error::AccessNotLogged { source: error.into() })?;
        session.give_back();
        let role = match grant.reach() {
            Reach::All => String::new(),
            Reach::Named(_) => format!("SET LOCAL ROLE {}", ident(&app_role)),
        };
        // The SELECT takes the snapshot, after which PostgreSQL lets nobody turn a transaction that
        // reads only into one that writes.
        let opening = AssertSqlSafe(format!(
            "BEGIN {access}; SET LOCAL statement_timeout = {timeout}; \
             SET LOCAL idle_in_transaction_session_timeout = {timeout}; SELECT pg_backend_pid()::text; {role}",
            access = grant.access().as_str().to_uppercase(),
            timeout = millis.min(i32::MAX.unsigned_abs()),
        ))
        .into_sql_str();
        // The URL of administration leads to the server itself, and if it does not after all, then this
        // is the backend for as long as the transaction lasts.
        let opening =
            Opening { statements: Box::new(move |_, _| Ok(opening.clone())), binding: None };
        let (lease, backend) = Lease::open(pool, End::GivenBack, opening).await?;
        let backend = backend.and_then(|backend| backend.parse().ok()).unwrap_or_default();
        let deadline = Deadline::at(grant.expires(), backend, pool.clone());
        let mut tx = AdminTx {
            lease,
            expires: grant.expires(),
            access: grant.access(),
            reach: grant.reach().clone(),
            db: self.clone(),
            _deadline: deadline,
        };
        if let Reach::Named(orgs) = grant.reach()
            && let [only] = orgs.as_slice()
        {
            tx.enter(only).await?;
        }
        Ok(tx)
    }
}

impl AdminTx {
    /// Turns to one of the organizations that the grant names; from here on the transaction sees it
    /// and no other.
    ///
    /// # Errors
    ///
    /// [`Error::NotGranted`] if the grant does not name it, or is for all: there is nothing to enter
    /// where everything is seen. [`Error::GrantExpired`].
    pub async fn enter(&mut self, org: &OrgId) -> Result<(), Error> {
        match &self.reach {
            Reach::Named(orgs) if orgs.contains(org) => {}
            _ => return Err(Error::NotGranted),
        }
        if self.is_over() {
            return Err(Error::GrantExpired);
        }
        let place = self.db.place(self.lease.backend());
        let enter = self.db.context().enter(&TenantScope::org(org.clone()), place)?;
        self.lease.plainly(AssertSqlSafe(enter), "entering an organization").await
    }

    /// Stores what was done.
    ///
    /// # Errors
    ///
    /// [`Error::GrantExpired`], [`Error::NothingStored`] and [`Error::CommitUnknown`].
    pub async fn commit(self) -> Result<(), Error> {
        if self.is_over() {
            return Err(Error::GrantExpired);
        }
        self.lease.commit().await
    }

    /// Undoes what was done. Dropping does the same, later.
    ///
    /// # Errors
    ///
    /// [`Error::Statement`] or [`Error::Unreachable`] if the connection breaks; the server rolls back.
    pub async fn rollback(self) -> Result<(), Error> {
        self.lease.rollback().await
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.lease.connection()
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.expires
    }

    /// Refuses what the transaction does not run, or not any more.
    fn admit(&self, sql: &str) -> Result<(), sqlx::Error> {
        let admitted = if self.is_over() {
            Err(Error::GrantExpired)
        } else {
            admitted::check(sql, self.access)
        };
        admitted.map_err(|refusal| sqlx::Error::Configuration(refusal.into()))
    }

    fn admit_query<'q>(&self, query: impl Execute<'q, Postgres>) -> Result<Watched, sqlx::Error> {
        let (query, _) = Watched::new(query);
        self.admit(query.text())?;
        Ok(query.into_one())
    }
}

impl fmt::Debug for AdminTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminTx").finish_non_exhaustive()
    }
}

impl<'c> Executor<'c> for &'c mut AdminTx {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.admit_query(query) {
            Ok(query) => self.lease.fetch_many(query),
            Err(refusal) => stream::once(async { Err(refusal) }).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.admit_query(query) {
            Ok(query) => self.lease.fetch_optional(query),
            Err(refusal) => async { Err(refusal) }.boxed(),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        match self.admit(sql.as_str()) {
            Ok(()) => self.lease.prepare(sql, parameters),
            Err(refusal) => async { Err(refusal) }.boxed(),
        }
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        match self.admit(sql.as_str()) {
            Ok(()) => self.lease.describe(sql),
            Err(refusal) => async { Err(refusal) }.boxed(),
        }
    }
}
