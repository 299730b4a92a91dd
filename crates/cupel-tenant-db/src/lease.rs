use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use sqlx::postgres::{PgQueryResult, PgRow};
use sqlx::{Either, Execute, Executor, PgConnection, Postgres, Row, SqlStr};
use tokio::runtime::Handle;

use crate::context::{CHECKED_COMMIT, CLEANED_COMMIT, IS_CLEAN, Named, POOLED_COMMIT};
use crate::error::{Error, is_conflict, is_disconnect, sqlstate};
use crate::pool::{Bound, Pool, Session};
use crate::trace::{Heard, Trace};
use crate::watched::Watched;

/// A transaction that was opened, and the first column of the row that the opening answered.
type Opened = (Lease, Option<String>);

/// A borrowed connection with a transaction on it, that knows whether it may go back to the pool.
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
    session: Option<Session>,
    phase: Phase,
    trace: Trace,
    /// Whether the backend is ours for the transaction only, so that it cannot be asked or closed later.
    behind_pooler: bool,
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
    /// Opens a transaction with the statements of `opening`, which is told the backend, and returns the
    /// first column of the row that they answer.
    ///
    /// Connections are not tested when they are borrowed: that would be a round trip of its own. One
    /// that turns out to be dead is replaced, at most once for each that the pool can hold, because
    /// the opening has no effect that a second one would double.
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn open(
        pool: &Pool,
        behind_pooler: bool,
        opening: impl Fn(i32) -> Result<SqlStr, Error>,
    ) -> Result<Opened, Error> {
        Self::open_on(pool, behind_pooler, None, |session| opening(session.backend())).await
    }

    /// Opens a transaction as [`open`](Self::open) does, on a session that is bound to whom `binding`
    /// says, or that the opening binds: it is told which.
    pub(crate) async fn open_bound(
        pool: &Pool,
        binding: &(Bound, Duration),
        opening: impl Fn(i32, Named) -> Result<SqlStr, Error>,
    ) -> Result<Opened, Error> {
        Self::open_on(pool, false, Some(binding), |session| {
            let is_bound = session.is_bound_to(&binding.0);
            let named = if is_bound { Named::BySession } else { Named::ByBinding };
            opening(session.backend(), named)
        })
        .await
    }

    async fn open_on(
        pool: &Pool,
        behind_pooler: bool,
        binding: Option<&(Bound, Duration)>,
        opening: impl Fn(&Session) -> Result<SqlStr, Error>,
    ) -> Result<Opened, Error> {
        let mut spare = pool.max();
        loop {
            let mut session = match binding {
                Some((bound, _)) => pool.lend_bound(bound).await?,
                None => pool.lend().await?,
            };
            let opening = opening(&session)?;
            let binding = binding.filter(|(bound, _)| !session.is_bound_to(bound));
            if binding.is_some() {
                // Whatever happens on the way, it is bound to nobody that we know of.
                session.set_bound(None);
            }
            let mut lease = Self {
                session: Some(session),
                phase: Phase::Unknown,
                trace: Trace::default(),
                behind_pooler,
            };
            match lease.connection().fetch_optional(opening).await {
                Ok(row) => {
                    let answer = row.map(|row| row.try_get(0)).transpose();
                    let answer = answer.map_err(Error::statement("the opening"))?;
                    lease.phase = Phase::Open;
                    if let (Some(session), Some(binding)) = (&mut lease.session, binding) {
                        session.set_bound(Some(binding.clone()));
                    }
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
        if self.trace.abandoned {
            return Err(Error::NothingStored { source: "a savepoint was left half-way".into() });
        }
        // Where every statement was heard to its end, the transaction is open and has not failed.
        let commit = match (self.behind_pooler, self.trace.doubt) {
            (false, false) => "COMMIT",
            (false, true) => CHECKED_COMMIT,
            (true, false) => POOLED_COMMIT,
            (true, true) => CLEANED_COMMIT,
        };
        self.phase = Phase::Unknown;
        match self.connection().execute(commit).await {
            Ok(_) => {
                self.phase = Phase::Idle;
                self.trace.residue &= !self.behind_pooler;
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
        let rollback = self.trace.rollback(self.behind_pooler);
        self.connection().execute(rollback).await.map_err(Error::statement("the rollback"))?;
        self.phase = Phase::Idle;
        self.trace.residue &= !self.behind_pooler;
        Ok(())
    }

    /// Runs a query for all that it answers, after a look at what it may leave behind.
    pub(crate) fn fetch_many<'e, 'q: 'e>(
        &'e mut self,
        query: impl Execute<'q, Postgres> + 'q,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>> {
        let query = self.look_at(query);
        let (conn, trace) = self.parts();
        Heard::new(conn.fetch_many(query), trace).boxed()
    }

    /// Runs a query for one row at most, after a look at what it may leave behind.
    pub(crate) fn fetch_optional<'e, 'q: 'e>(
        &'e mut self,
        query: impl Execute<'q, Postgres> + 'q,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>> {
        let query = self.look_at(query);
        let (conn, trace) = self.parts();
        async move {
            let before = std::mem::replace(&mut trace.doubt, true);
            // sqlx hears the answer to its end, also where it returns the first row of many.
            let answer = conn.fetch_optional(query).await;
            match &answer {
                Ok(_) => trace.doubt = before,
                Err(error) => trace.conflict |= is_conflict(error),
            }
            answer
        }
        .boxed()
    }

    fn look_at<'q>(&mut self, query: impl Execute<'q, Postgres>) -> Watched {
        let (query, leaves) = Watched::new(query);
        if leaves {
            self.use_freely();
        }
        query
    }

    /// Notes that statements are about to run that are not looked at.
    pub(crate) fn use_freely(&mut self) {
        self.trace.residue = true;
        self.trace.doubt = true;
    }

    /// Notes that work begins or ends of which nothing may be stored unless it ends.
    pub(crate) fn set_abandoned(&mut self, abandoned: bool) {
        self.trace.abandoned = abandoned;
    }

    /// Returns whether a statement lost against a concurrent transaction, so that all of it may be tried
    /// again.
    pub(crate) fn lost_a_conflict(&self) -> bool {
        self.trace.conflict
    }

    /// Returns the process id of the backend.
    pub(crate) fn backend(&self) -> i32 {
        self.session.as_ref().map_or(0, Session::backend)
    }

    /// Returns the connection, with the transaction open.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.parts().0
    }

    #[expect(clippy::expect_used, reason = "only `drop` takes the session out")]
    fn parts(&mut self) -> (&mut PgConnection, &mut Trace) {
        let session = self.session.as_mut().expect("a lease has its session until it is dropped");
        (session.connection(), &mut self.trace)
    }
}

impl Drop for Lease {
    /// What must be asked or rolled back is, in a task of its own that ends with the answer: `drop`
    /// cannot wait, and the pool would give the connection to the next borrower as it is.
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        match self.phase {
            Phase::Idle if !self.trace.residue => session.give_back(),
            Phase::Unknown => drop(session),
            phase => match Handle::try_current() {
                Ok(runtime) => {
                    let rollback = self.trace.rollback(self.behind_pooler);
                    let rollback = (phase == Phase::Open).then_some(rollback);
                    let ask = self.trace.residue && !self.behind_pooler;
                    drop(runtime.spawn(clean_up(session, rollback, ask)));
                }
                Err(_) => drop(session),
            },
        }
    }
}

/// Gives the session back if it is clean. A runtime that ends in the middle of this closes it.
async fn clean_up(mut session: Session, rollback: Option<&'static str>, ask: bool) {
    match is_clean(&mut session, rollback, ask).await {
        Ok(true) => session.give_back(),
        Ok(false) => {
            metrics::counter!("cupel_db_sessions_closed_total", "reason" => "residue").increment(1);
            tracing::debug!("a session held something of its borrower and was closed");
        }
        Err(error) => {
            metrics::counter!("cupel_db_sessions_closed_total", "reason" => "broken").increment(1);
            tracing::warn!(error = &error as &dyn std::error::Error, "a connection broke");
        }
    }
}

/// By the simple protocol: a prepared statement could have been replaced under its name.
async fn is_clean(
    session: &mut Session,
    rollback: Option<&'static str>,
    ask: bool,
) -> Result<bool, sqlx::Error> {
    if let Some(rollback) = rollback {
        session.connection().execute(rollback).await?;
    }
    if !ask {
        return Ok(true);
    }
    metrics::counter!("cupel_db_sessions_checked_total").increment(1);
    // Whom it is bound to is not known for sure either.
    session.unbind().await?;
    session.connection().fetch_one(IS_CLEAN).await?.try_get(0)
}

/// What a refused opening means: the statements are ours, so the database lacks what they use.
fn refused_opening(error: sqlx::Error) -> Error {
    match sqlstate(&error).as_deref() {
        // undefined_function, invalid_schema_name, insufficient_privilege
        Some("42883" | "3F000" | "42501") => Error::NotMigrated,
        _ => Error::connect("database")(error),
    }
}
