mod opening;
mod release;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, Postgres, SqlSafeStr, SqlStr};

use crate::context::{CHECKED_COMMIT, CLEANED_COMMIT, POOLED_COMMIT};
use crate::error::{Error, is_conflict, is_disconnect, sqlstate};
use crate::pool::Session;
use crate::trace::{Heard, Trace};
use crate::watched::{Watched, leaves_nothing};

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
/// looked at before it goes back: its settings are reset, and it is closed unless it is clean.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Taken by what ends the lease, and by nothing before it.
    session: Option<Session>,
    phase: Phase,
    trace: Trace,
    end: End,
}

/// What becomes of the session once its transaction is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes back to the pool, or with the commit to whoever waits for a transaction.
    HandedOn,
    /// It goes back to the pool.
    GivenBack,
    /// The backend was ours for the transaction only: it cannot be asked or closed later.
    BehindPooler,
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
    /// Runs the closing statements. Dropping the future closes the connection: whether the server has
    /// stored the work is then unknown.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        if self.trace.abandoned {
            return Err(Error::NothingStored { source: "a savepoint was left half-way".into() });
        }
        if self.end == End::HandedOn
            && !self.trace.doubt
            && !self.trace.residue
            && let Some((heir, opening)) = self.heir()
        {
            return self.commit_for(heir, opening).await;
        }
        // Where every statement was heard to its end, the transaction is open and has not failed.
        let commit = match (self.is_behind_pooler(), self.trace.doubt) {
            (false, false) => "COMMIT",
            (false, true) => CHECKED_COMMIT,
            (true, false) => POOLED_COMMIT,
            (true, true) => CLEANED_COMMIT,
        };
        self.phase = Phase::Unknown;
        match self.connection().execute(commit).await {
            Ok(_) => {
                self.phase = Phase::Idle;
                self.trace.residue &= !self.is_behind_pooler();
                Ok(())
            }
            Err(error) => Err(self.not_committed(error)),
        }
    }

    /// What a commit that failed means.
    fn not_committed(&mut self, error: sqlx::Error) -> Error {
        if sqlstate(&error).is_none() || is_disconnect(&error) {
            return Error::CommitUnknown { source: error.into() };
        }
        // The server answered, so the transaction is over or failed: nothing was stored.
        self.phase = Phase::Open;
        Error::NothingStored { source: error.into() }
    }

    /// Rolls back. Dropping the future closes the connection, which rolls back too.
    pub(crate) async fn rollback(mut self) -> Result<(), Error> {
        self.phase = Phase::Unknown;
        let rollback = self.trace.rollback(self.is_behind_pooler());
        self.connection().execute(rollback).await.map_err(Error::statement("the rollback"))?;
        self.phase = Phase::Idle;
        self.trace.residue &= !self.is_behind_pooler();
        Ok(())
    }

    fn is_behind_pooler(&self) -> bool {
        self.end == End::BehindPooler
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
        // sqlx hears the answer to its end, also where it returns the first row of many.
        heard(conn.fetch_optional(query), trace)
    }

    /// Prepares a statement. One that the server refuses fails the transaction as any does.
    pub(crate) fn prepare<'e>(
        &'e mut self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>> {
        let (conn, trace) = self.parts();
        heard(conn.prepare_with(sql, parameters), trace)
    }

    /// Describes a statement, as [`prepare`](Self::prepare) prepares one. It is planned for that, which may run functions
    /// that change nothing by their word.
    pub(crate) fn describe(
        &mut self,
        sql: SqlStr,
    ) -> BoxFuture<'_, Result<Describe<Postgres>, sqlx::Error>> {
        if !leaves_nothing(sql.as_str()) {
            self.use_freely();
        }
        let (conn, trace) = self.parts();
        heard(conn.describe(sql), trace)
    }

    /// Runs a statement of ours.
    pub(crate) async fn plainly(
        &mut self,
        statement: impl SqlSafeStr,
        action: &'static str,
    ) -> Result<(), Error> {
        let statement = statement.into_sql_str();
        let (conn, trace) = self.parts();
        let done = heard(conn.execute(statement), trace).await;
        done.map(drop).map_err(Error::statement(action))
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

    fn session(&mut self) -> &mut Session {
        held(&mut self.session)
    }

    fn parts(&mut self) -> (&mut PgConnection, &mut Trace) {
        (held(&mut self.session).connection(), &mut self.trace)
    }
}

/// Hears what leaves no doubt about the transaction unless it fails or is dropped.
fn heard<'e, T: Send + 'e>(
    work: BoxFuture<'e, Result<T, sqlx::Error>>,
    trace: &'e mut Trace,
) -> BoxFuture<'e, Result<T, sqlx::Error>> {
    async move {
        let before = std::mem::replace(&mut trace.doubt, true);
        let answer = work.await;
        match &answer {
            Ok(_) => trace.doubt = before,
            Err(error) => trace.conflict |= is_conflict(error),
        }
        answer
    }
    .boxed()
}

#[expect(clippy::expect_used, reason = "only what ends the lease takes its session out")]
fn held(session: &mut Option<Session>) -> &mut Session {
    session.as_mut().expect("a lease has its session until it ends")
}
