//! How a transaction begins: on a session of the pool, or by the commit of the one before it.

use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, Executor, Row, SqlStr};

use super::{End, Lease, Opened, Phase};
use crate::Error;
use crate::error::{is_disconnect, sqlstate};
use crate::pool::{Binding, Handed, Heir, Lent, Opening, Pool, Session};
use crate::trace::Trace;

impl Lease {
    /// Opens a transaction, and returns the first column of the row that the opening answers.
    ///
    /// Connections are not tested when they are borrowed: that would be a round trip of its own. One
    /// that turns out to be dead is replaced, at most once for each that the pool can hold, because
    /// the opening has no effect that a second one would double.
    ///
    /// Dropping the future closes the connection.
    pub(crate) async fn open(pool: &Pool, end: End, opening: Opening) -> Result<Opened, Error> {
        let opening = Arc::new(opening);
        let mut spare = pool.max();
        loop {
            let session = match end {
                End::HandedOn => match pool.lend_for(&opening).await? {
                    Lent::Session(session) => session,
                    Lent::Handed(handed) => {
                        return Ok((Self::of(handed.session, Phase::Open, end), handed.answer));
                    }
                },
                End::GivenBack | End::BehindPooler => pool.lend().await?,
            };
            let mut lease = Self::of(session, Phase::Unknown, end);
            let session = lease.session();
            let (statements, binding) = opening.on(session)?;
            if binding.is_some() {
                // Whatever happens on the way, it is bound to nobody that we know of.
                session.set_bound(None);
            }
            match lease.connection().fetch_optional(statements).await {
                Ok(row) => {
                    let answer = answer(row)?;
                    lease.phase = Phase::Open;
                    if binding.is_some() {
                        lease.session().set_bound(binding);
                    }
                    return Ok((lease, answer));
                }
                Err(error) if is_disconnect(&error) && spare > 0 => spare -= 1,
                Err(error) => return Err(refused_opening(error)),
            }
        }
    }

    /// Commits, and opens the transaction of `heir` in the same message, on the session that it gets.
    ///
    /// Dropping the future closes the connection, and the heir waits on. So it does if the commit fails, after which
    /// the session is bound to whom it was, or if its opening does: what an opening meets is for its own transaction
    /// to say.
    pub(super) async fn commit_for(
        mut self,
        heir: Heir,
        (opening, binding): (SqlStr, Option<Binding>),
    ) -> Result<(), Error> {
        self.phase = Phase::Unknown;
        let statements = AssertSqlSafe(format!("COMMIT; {}", opening.as_str()));
        let mut answers = self.connection().fetch_many(statements);
        let (mut committed, mut row) = (false, None);
        let failed = loop {
            match answers.try_next().await {
                Ok(Some(Either::Left(_))) => committed = true,
                Ok(Some(Either::Right(it))) => row = Some(it),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        drop(answers);
        match failed {
            Some(error) if !committed => Err(self.not_committed(error)),
            Some(_) => Ok(()),
            None => {
                if let (Ok(answer), Some(mut session)) = (answer(row), self.session.take()) {
                    if binding.is_some() {
                        session.set_bound(binding);
                    }
                    heir.inherit(Handed { session, answer });
                }
                Ok(())
            }
        }
    }

    /// Returns who is to have the session with the commit, and the statements that open the transaction.
    pub(super) fn heir(&mut self) -> Option<(Heir, (SqlStr, Option<Binding>))> {
        let session = self.session();
        let heir = session.heir()?;
        let opening = heir.opening.on(session).ok()?;
        Some((heir, opening))
    }

    fn of(session: Session, phase: Phase, end: End) -> Self {
        Self { session: Some(session), phase, trace: Trace::default(), end }
    }
}

/// Returns the first column.
fn answer(row: Option<PgRow>) -> Result<Option<String>, Error> {
    let answer = row.map(|row| row.try_get(0)).transpose();
    Ok(answer.map_err(Error::statement("the opening"))?.flatten())
}

/// What a refused opening means: the statements are ours, so the database lacks what they use.
fn refused_opening(error: sqlx::Error) -> Error {
    match sqlstate(&error).as_deref() {
        // undefined_function, invalid_schema_name, insufficient_privilege
        Some("42883" | "3F000" | "42501") => Error::NotMigrated,
        _ => Error::connect("database")(error),
    }
}
