use std::fmt;
use std::time::Instant;

use cupel_tenant::OrgId;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Describe, Either, Execute, Executor, PgConnection, Postgres, SqlSafeStr, SqlStr,
};

use crate::grant::{Reach, Ready};
use crate::lease::Lease;
use crate::schema::ident;
use crate::{AdminGrant, Error, TenantDb};

/// A transaction that reaches beyond one organization. Its row in the access log was committed before
/// it began.
///
/// `&mut AdminTx` is an sqlx executor. Every statement is refused once the grant has expired, the
/// server ends one that is still running then, and a session that waits longer.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct AdminTx {
    lease: Lease,
    expires: Instant,
    reach: Reach,
}

impl TenantDb {
    /// Opens an admin transaction, after its row in the access log is committed.
    ///
    /// A grant for all organizations runs as the admin role, which is exempt from row-level security.
    /// One for named organizations takes the application's role for the transaction, so that the
    /// server itself shows nothing but the organization that was entered: the only one named, or the
    /// one given to [`AdminTx::enter`]. Suspended organizations can be entered.
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
        let (actor, reason, ticket) = grant.texts();
        let app_role: String = sqlx::query_scalar(
            "WITH logged AS (
               INSERT INTO cupel.access_log (actor, reason, ticket, access, orgs, expires)
               VALUES ($1, $2, $3, $4, $5, now() + $6::bigint * interval '1 millisecond')
               RETURNING id)
             SELECT s.app_role FROM logged, cupel.settings() s",
        )
        .bind(actor)
        .bind(reason)
        .bind(ticket)
        .bind(grant.access().as_str())
        .bind(orgs)
        .bind(i64::from(millis))
        .fetch_one(pool)
        .await
        .map_err(|error| Error::AccessNotLogged { source: error.into() })?;
        let role = match grant.reach() {
            Reach::All => String::new(),
            Reach::Named(_) => format!("SET LOCAL ROLE {}", ident(&app_role)),
        };
        // The SELECT takes the snapshot, after which PostgreSQL lets nobody turn a transaction that
        // reads only into one that writes.
        let opening = AssertSqlSafe(format!(
            "BEGIN {access}; SET LOCAL statement_timeout = {timeout}; \
             SET LOCAL idle_in_transaction_session_timeout = {timeout}; SELECT 'open'; {role}",
            access = grant.access().as_str().to_uppercase(),
            timeout = millis.min(i32::MAX.unsigned_abs()),
        ))
        .into_sql_str();
        let (lease, _) = Lease::open(pool, &opening).await?;
        let mut tx = AdminTx { lease, expires: grant.expires(), reach: grant.reach().clone() };
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
        let statement = AssertSqlSafe(format!("SET LOCAL app.current_org_id = '{org}'"));
        self.lease
            .connection()
            .execute(statement)
            .await
            .map(drop)
            .map_err(Error::statement("entering an organization"))
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

    fn refusal(&self) -> Option<sqlx::Error> {
        self.is_over().then(|| sqlx::Error::Configuration(Error::GrantExpired.into()))
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
        match self.refusal() {
            Some(refusal) => stream::once(async { Err(refusal) }).boxed(),
            None => self.lease.watch(query, |conn, query| conn.fetch_many(query)),
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
        match self.refusal() {
            Some(refusal) => async { Err(refusal) }.boxed(),
            None => self.lease.watch(query, |conn, query| conn.fetch_optional(query)),
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
        self.connection().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.connection().describe(sql)
    }
}
