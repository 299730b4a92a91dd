use std::fmt;
use std::sync::Arc;

use cupel_tenant::TenantScope;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, Postgres, SqlSafeStr, SqlStr};

use crate::Error;
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
}

/// What a refused savepoint was for.
const SAVEPOINT: &str = "a savepoint";

impl TenantTx {
    pub(crate) fn new(lease: Lease, scope: Arc<TenantScope>) -> Self {
        Self { lease, scope }
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

    /// Runs `work` inside a savepoint: keeps what it did on `Ok`, undoes it and nothing before it on `Err`.
    /// Savepoints nest.
    ///
    /// Dropping the future half-way leaves a transaction of which nothing can be stored any more:
    /// [`commit`](Self::commit) then fails.
    ///
    /// # Errors
    ///
    /// The error of `work`; [`Error::Statement`] if the server refuses the savepoint, or to keep what
    /// was done in it.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use cupel_tenant_db::{Error, TenantTx};
    /// # async fn example(tx: &mut TenantTx) -> Result<(), Box<dyn std::error::Error>> {
    /// let noted: Result<(), sqlx::Error> = tx
    ///     .savepoint(async |tx| {
    ///         sqlx::query("INSERT INTO notes (org_id, id) VALUES ('acme', 'n')").execute(tx).await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// if noted.is_err() {
    ///     // The transaction goes on as if the note had never been tried.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn savepoint<T, E>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error> {
        self.lease.set_abandoned(true);
        // A name is used again: the innermost savepoint of that name is the one that is meant.
        self.lease.plainly("SAVEPOINT cupel_nested", SAVEPOINT).await?;
        let result = work(self).await;
        if result.is_err() {
            self.lease.plainly("ROLLBACK TO SAVEPOINT cupel_nested", SAVEPOINT).await?;
        }
        self.lease.plainly("RELEASE SAVEPOINT cupel_nested", SAVEPOINT).await?;
        self.lease.set_abandoned(false);
        Ok(result)
    }

    /// Streams the output of a `COPY … TO STDOUT`, which sees what a `SELECT` would.
    ///
    /// # Errors
    ///
    /// Whatever the server reports.
    pub async fn copy_out(
        &mut self,
        statement: impl SqlSafeStr,
    ) -> Result<impl futures::Stream<Item = Result<Vec<u8>, sqlx::Error>> + Send + '_, sqlx::Error>
    {
        let statement = statement.into_sql_str();
        // What is copied may be a query, with functions in it.
        let rows = self.unwatched().copy_out_raw(statement.as_str()).await?;
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
        self.lease.lost_a_conflict()
    }
}

impl fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantTx").field("scope", &self.scope).finish_non_exhaustive()
    }
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
        self.lease.fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.lease.fetch_optional(query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.lease.prepare(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.lease.describe(sql)
    }
}
