//! That one migration or adoption at a time changes a database.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use sqlx::PgConnection;

use crate::{Error, Migration};

/// How long is waited for another to end: that of a service's instances that start together, or one whose
/// client is gone and whose last statement the server has not ended yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Takes [`Migration::LOCK`] for the session, which frees it as it ends, however it ends.
///
/// The server is not told to wait for the lock: whoever waits in a statement has a snapshot, and `CREATE INDEX
/// CONCURRENTLY` of whoever holds the lock would wait for that snapshot. Between two questions there is none.
///
/// # Errors
///
/// [`Error::MigrationRunning`] if another session holds it all the time.
pub(crate) async fn take(conn: &mut PgConnection) -> Result<(), Error> {
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_millis(500))
        .without_max_times()
        .with_total_delay(Some(PATIENCE))
        .build();
    loop {
        let taken: bool = sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)")
            .bind(Migration::LOCK)
            .fetch_one(&mut *conn)
            .await
            .map_err(Error::statement("taking the migration's lock"))?;
        if taken {
            return Ok(());
        }
        let holder = holder(conn).await?;
        match (pauses.next(), holder) {
            (Some(pause), _) => tokio::time::sleep(pause).await,
            (None, Some(backend)) => return Err(Error::MigrationRunning { backend }),
            // It was freed in between.
            (None, None) => {}
        }
    }
}

/// The process that holds the lock in this database.
async fn holder(conn: &mut PgConnection) -> Result<Option<i32>, Error> {
    sqlx::query_scalar(
        "SELECT l.pid FROM pg_catalog.pg_locks l
         JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database()
         WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
           AND (l.classid::int8 << 32 | l.objid::int8) = $1",
    )
    .bind(Migration::LOCK)
    .fetch_optional(conn)
    .await
    .map_err(Error::statement("looking who holds the migration's lock"))
}
