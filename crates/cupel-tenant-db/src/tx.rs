use std::fmt;
use std::sync::Arc;

use cupel_tenant::TenantScope;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr};

use crate::Error;
use crate::error::sqlstate;
use crate::lease::Lease;

/// A transaction that sees one organization.
///
/// `&mut TenantTx` is an sqlx executor: `query`, `query_as`, `fetch` and `QueryBuilder` work on it. It
/// does not deref to the connection; code that insists on one finds
/// [`danger::connection`](crate::danger::connection).
///
/// Dropping it rolls back. Dropping the future of any of its methods, at any await, is safe too: the
/// connection goes back to the pool clean or is closed.
#[must_use = "a transaction that is dropped is rolled back"]
pub struct TenantTx {
    lease: Lease,
    scope: Arc<TenantScope>,
    conflict: bool,
}

impl TenantTx {
    pub(crate) fn new(lease: Lease, scope: Arc<TenantScope>) -> Self {
        Self { lease, scope, conflict: false }
    }

    /// Returns whose transaction it is.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Stores what was done.
    ///
    /// # Errors
    ///
    /// [`Error::NothingStored`] if a statement had failed or had ended the transaction, or a deferred
    /// constraint fails now; [`Error::CommitUnknown`] if the connection breaks.
    pub async fn commit(self) -> Result<(), Error> {
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

    /// Streams the output of a `COPY … TO STDOUT`, which sees what a `SELECT` would.
    ///
    /// # Errors
    ///
    /// Whatever the server reports.
    pub async fn copy_out(
        &mut self,
        statement: &'static str,
    ) -> Result<impl futures::Stream<Item = Result<Vec<u8>, sqlx::Error>> + Send + '_, sqlx::Error>
    {
        let rows = self.lease.connection().copy_out_raw(statement).await?;
        Ok(rows.map_ok(|bytes| bytes.to_vec()))
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.lease.connection()
    }

    /// Returns the connection to code whose statements are not seen.
    pub(crate) fn unwatched(&mut self) -> &mut PgConnection {
        self.lease.use_freely();
        self.lease.connection()
    }

    /// Returns whether a statement lost against a concurrent transaction, so that all of it may be
    /// tried again.
    pub(crate) fn lost_a_conflict(&self) -> bool {
        self.conflict
    }
}

impl fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantTx").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// serialization_failure and deadlock_detected: PostgreSQL documentation, section 13.5.
pub(crate) fn is_conflict(error: &sqlx::Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("40001" | "40P01"))
}

impl<'c> Executor<'c> for &'c mut TenantTx {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let TenantTx { lease, conflict, .. } = self;
        lease
            .watch(query, |conn, query| conn.fetch_many(query))
            .inspect_err(move |error| *conflict |= is_conflict(error))
            .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let TenantTx { lease, conflict, .. } = self;
        lease
            .watch(query, |conn, query| conn.fetch_optional(query))
            .inspect_err(move |error| *conflict |= is_conflict(error))
            .boxed()
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
