use sqlx::pool::PoolConnection;
use sqlx::{Execute, Executor, PgConnection, PgPool, Postgres, Row, SqlStr};
use tokio::runtime::Handle;

use crate::context::{COMMIT, IS_CLEAN};
use crate::error::{Error, is_disconnect, sqlstate};
use crate::watched::Watched;

/// A borrowed connection that knows whether it may go back to the pool.
///
/// sqlx 0.9.0 gives a connection back with its transaction open when the future of `begin` is dropped
/// after the statement was sent (launchbadge/sqlx issues 4385 and 4393). Here a connection goes back
/// only when its transaction is known to be over; what is dropped in the middle of opening or closing
/// one is closed.
///
/// A session in which statements ran that may leave something behind, such as a cursor WITH HOLD, is
/// asked before it goes back, and closed unless it is clean.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Taken by `drop`, and by nothing before it.
    conn: Option<PoolConnection<Postgres>>,
    phase: Phase,
    /// Whether a statement ran that may leave something in the session.
    used_freely: bool,
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
    /// Opens a transaction with `opening` and returns the first column of the row that it answers.
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
            let mut lease = Self { conn: Some(conn), phase: Phase::Unknown, used_freely: false };
            match lease.connection().fetch_optional(opening.clone()).await {
                Ok(row) => {
                    let answer = row.map(|row| row.try_get(0)).transpose();
                    let answer = answer.map_err(Error::statement("the opening"))?;
                    lease.phase = Phase::Open;
                    return Ok((lease, answer.flatten()));
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
        match self.connection().execute(COMMIT).await {
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
        self.connection().execute("ROLLBACK").await.map_err(Error::statement("the rollback"))?;
        self.phase = Phase::Idle;
        Ok(())
    }

    /// Runs a query after a look at what it may leave in the session.
    pub(crate) fn watch<'e, 'q, R>(
        &'e mut self,
        query: impl Execute<'q, Postgres>,
        run: impl FnOnce(&'e mut PgConnection, Watched) -> R,
    ) -> R {
        let (query, leaves) = Watched::new(query);
        self.used_freely |= leaves;
        run(self.connection(), query)
    }

    /// Notes that a statement is about to run that may leave something in the session.
    pub(crate) fn use_freely(&mut self) {
        self.used_freely = true;
    }

    /// Returns the connection, with the transaction open.
    #[expect(clippy::expect_used, reason = "only `drop` takes the connection out")]
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect("a lease has its connection until it is dropped")
    }
}

impl Drop for Lease {
    /// What must be asked or rolled back is, in a task of its own that ends with the answer: `drop`
    /// cannot wait, and the pool would give the connection to the next borrower as it is. sqlx gives
    /// connections back in such a task too.
    fn drop(&mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        match self.phase {
            Phase::Idle if !self.used_freely => {}
            Phase::Unknown => conn.close_on_drop(),
            phase => match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(give_back(conn, phase, self.used_freely))),
                Err(_) => conn.close_on_drop(),
            },
        }
    }
}

async fn give_back(conn: PoolConnection<Postgres>, phase: Phase, used_freely: bool) {
    // Until it is known to be clean it is in an unknown phase: a runtime that ends in the middle of
    // this closes it.
    let mut lease = Lease { conn: Some(conn), phase: Phase::Unknown, used_freely: false };
    match clean(lease.connection(), phase, used_freely).await {
        Ok(true) => lease.phase = Phase::Idle,
        Ok(false) => tracing::debug!("a session held something of its borrower and was closed"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a connection broke");
        }
    }
}

/// By the simple protocol: a prepared statement could have been replaced under its name.
async fn clean(
    conn: &mut PgConnection,
    phase: Phase,
    used_freely: bool,
) -> Result<bool, sqlx::Error> {
    if phase == Phase::Open {
        conn.execute("ROLLBACK").await?;
    }
    if !used_freely {
        return Ok(true);
    }
    conn.fetch_one(IS_CLEAN).await?.try_get(0)
}

/// What a refused opening means: the statements are ours, so the database lacks what they use.
fn refused_opening(error: sqlx::Error) -> Error {
    match sqlstate(&error).as_deref() {
        // undefined_function, invalid_schema_name, insufficient_privilege
        Some("42883" | "3F000" | "42501") => Error::NotMigrated,
        _ => Error::connect("database")(error),
    }
}
