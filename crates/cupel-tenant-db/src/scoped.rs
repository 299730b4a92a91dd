use std::sync::Arc;

use backon::{BackoffBuilder, ExponentialBuilder};
use cupel_tenant::TenantScope;

use crate::{Error, TenantDb, TenantTx, TxOptions};

/// The database of one scope. Owned and cheap to clone, so that it can be handed on.
///
/// `&ScopedDb` is an sqlx executor for single statements, each of which is a transaction: what a service
/// does most, in one round trip.
///
/// ```no_run
/// # use cupel_tenant::TenantScope;
/// # use cupel_tenant_db::TenantDb;
/// # async fn example(db: TenantDb, scope: TenantScope) -> Result<(), sqlx::Error> {
/// let name: String = sqlx::query_scalar("SELECT name FROM pipelines WHERE id = $1")
///     .bind("nightly")
///     .fetch_one(&db.scoped(&scope))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ScopedDb {
    db: TenantDb,
    scope: Arc<TenantScope>,
}

impl ScopedDb {
    pub(crate) fn new(db: TenantDb, scope: &TenantScope) -> Self {
        Self { db, scope: Arc::new(scope.clone()) }
    }

    pub(crate) fn db(&self) -> &TenantDb {
        &self.db
    }

    /// Returns the scope.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Opens a transaction, as [`TenantDb::begin`].
    ///
    /// # Errors
    ///
    /// As [`TenantDb::begin`].
    pub async fn begin(&self) -> Result<TenantTx, Error> {
        self.db.begin_shared(Arc::clone(&self.scope), TxOptions::new()).await
    }

    /// Opens a transaction with options, as [`TenantDb::begin_with`].
    ///
    /// # Errors
    ///
    /// As [`TenantDb::begin`].
    pub async fn begin_with(&self, options: TxOptions) -> Result<TenantTx, Error> {
        self.db.begin_shared(Arc::clone(&self.scope), options).await
    }

    /// Runs `work` in a transaction, as [`TenantDb::run`].
    ///
    /// # Errors
    ///
    /// As [`TenantDb::run`].
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: AsyncFn(&mut TenantTx) -> Result<T, E>,
        E: From<Error>,
    {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(std::time::Duration::from_millis(5))
            .with_max_times(RETRIES)
            .with_jitter()
            .build();
        loop {
            let mut tx = self.begin().await?;
            let result = work(&mut tx).await;
            let mut conflict = tx.lost_a_conflict();
            let result = match result {
                Ok(value) => match tx.commit().await {
                    Ok(()) => return Ok(value),
                    Err(error) => {
                        conflict |= is_conflict(&error);
                        Err(error.into())
                    }
                },
                Err(error) => {
                    // The work's error says more than that of a rollback that failed; what is not
                    // rolled back here is when the pool takes the connection.
                    let _ = tx.rollback().await;
                    Err(error)
                }
            };
            match pauses.next() {
                Some(pause) if conflict => tokio::time::sleep(pause).await,
                _ => return result,
            }
        }
    }
}

/// How often `run` tries again. Each try waits twice as long as the one before, from 5 ms on.
const RETRIES: usize = 5;

impl TenantDb {
    /// Runs `work` in a transaction: commits on `Ok`, rolls back on `Err`.
    ///
    /// A transaction that lost against a concurrent one (`serialization_failure`,
    /// `deadlock_detected`) is run again, at most five times; nothing else is. `work` must therefore
    /// have no effects but those of the transaction.
    ///
    /// Write an `async move` closure that owns what it captures. One that borrows a local gives
    /// "implementation of `Send` is not general enough" in a handler or a spawned task.
    ///
    /// # Errors
    ///
    /// The error of `work`, or as [`TenantDb::begin`] and [`TenantTx::commit`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use cupel_tenant::TenantScope;
    /// # use cupel_tenant_db::TenantDb;
    /// # async fn example(db: TenantDb, scope: TenantScope, name: String) -> Result<(), Box<dyn std::error::Error>> {
    /// db.run(&scope, async move |tx| {
    ///     sqlx::query("UPDATE pipelines SET name = $1 WHERE id = 'nightly'")
    ///         .bind(name.clone())
    ///         .execute(&mut *tx)
    ///         .await?;
    ///     Ok::<_, Box<dyn std::error::Error>>(())
    /// })
    /// .await
    /// # }
    /// ```
    pub async fn run<T, E, F>(&self, scope: &TenantScope, work: F) -> Result<T, E>
    where
        F: AsyncFn(&mut TenantTx) -> Result<T, E>,
        E: From<Error>,
    {
        self.scoped(scope).run(work).await
    }
}

fn is_conflict(error: &Error) -> bool {
    let Error::NothingStored { source } = error else { return false };
    source.downcast_ref().is_some_and(crate::error::is_conflict)
}
