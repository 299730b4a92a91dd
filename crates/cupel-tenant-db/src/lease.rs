use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Row, SqlStr};

use crate::context::{COMMIT, IS_CLEAN};
use crate::error::{Error, is_disconnect, sqlstate};

/// A borrowed connection that knows whether it may go back to the pool.
///
/// sqlx 0.9.0 gives a connection back with its transaction open when the future of `begin` is dropped
/// after the statement was sent (launchbadge/sqlx issues 4385 and 4393). Here the connection goes back
/// only from a phase in which it is known what a rollback leaves; dropped in any other, it is closed.
#[derive(Debug)]
pub(crate) struct Lease {
    conn: PoolConnection<Postgres>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No transaction: the connection may go back as it is.
    Idle,
    /// The opening or the closing statements are on their way; what the server made of them is unknown.
    Unknown,
    /// The transaction is open.
    Open,
}

impl Lease {
    /// Opens a transaction with `opening` and returns the first column of the row that it ends with.
    ///
    /// Connections are not tested when they are borrowed: that would be a round trip of its own. One
    /// that turns out to be dead is replaced, at most once for each that the pool can hold, because
    /// the opening has no effect that a second one would double.
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn open(
        pool: &PgPool,
        opening: &SqlStr,
    ) -> Result<(Self, Option<String>), Error> {
        let mut spare = pool.options().get_max_connections();
        loop {
            let conn = pool.acquire().await.map_err(Error::connect("database"))?;
            let mut lease = Self { conn, phase: Phase::Unknown };
            match sqlx::Executor::fetch_optional(&mut *lease.conn, opening.clone()).await {
                Ok(row) => {
                    lease.phase = Phase::Open;
                    let answer = row.map(|row| row.try_get(0)).transpose();
                    return Ok((lease, answer.map_err(Error::statement("the opening"))?.flatten()));
                }
                Err(error) if is_disconnect(&error) && spare > 0 => spare -= 1,
                Err(error) => return Err(refused_opening(error)),
            }
        }
    }

    /// Runs the closing statements. Dropping the future closes the connection: whether the server has
    /// stored the work is then unknown.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.phase = Phase::Unknown;
        match sqlx::Executor::execute(&mut *self.conn, COMMIT).await {
            Ok(_) => {
                self.phase = Phase::Idle;
                Ok(())
            }
            Err(error) if sqlstate(&error).is_some() && !is_disconnect(&error) => {
                // The server answered, so the transaction is over or failed: nothing was stored.
                self.phase = Phase::Open;
                Err(Error::NothingStored { source: error.into() })
            }
            Err(error) => Err(Error::CommitUnknown { source: error.into() }),
        }
    }

    /// Rolls back. Dropping the future closes the connection, which rolls back too.
    pub(crate) async fn rollback(mut self) -> Result<(), Error> {
        self.phase = Phase::Unknown;
        sqlx::Executor::execute(&mut *self.conn, "ROLLBACK")
            .await
            .map_err(Error::statement("the rollback"))?;
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Returns the connection, with the transaction open.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.phase == Phase::Unknown {
            self.conn.close_on_drop();
        }
        // An open transaction is rolled back by `leave_clean` when the pool takes the connection.
    }
}

/// What a refused opening means: the statements are ours, so the database lacks what they use.
fn refused_opening(error: sqlx::Error) -> Error {
    match sqlstate(&error).as_deref() {
        // undefined_function, invalid_schema_name, insufficient_privilege
        Some("42883" | "3F000" | "42501") => Error::NotMigrated,
        _ if matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)) => {
            Error::connect("database")(error)
        }
        _ => Error::statement("the opening")(error),
    }
}

/// Makes a connection that is given back clean, and returns whether it is.
///
/// This is how a dropped transaction is rolled back, the backstop of [`Lease`], and the only place
/// that notices what SQL left in the session: a cursor WITH HOLD, a prepared statement, a temporary
/// table, LISTEN, a role, a context outside a transaction. Such a connection is closed.
pub(crate) async fn leave_clean(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    if is_clean(conn).await? {
        return Ok(true);
    }
    sqlx::Executor::execute(&mut *conn, "ROLLBACK").await?;
    is_clean(conn).await
}

/// By the simple protocol: a prepared statement could have been replaced under its name.
async fn is_clean(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match sqlx::Executor::fetch_optional(conn, IS_CLEAN).await {
        Ok(row) => row.map_or(Ok(false), |row| row.try_get(0)),
        // in_failed_sql_transaction
        Err(error) if sqlstate(&error).as_deref() == Some("25P02") => Ok(false),
        Err(error) => Err(error),
    }
}
