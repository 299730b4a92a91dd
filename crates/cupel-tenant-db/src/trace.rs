use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use sqlx::Either;
use sqlx::postgres::{PgQueryResult, PgRow};

use crate::context::{CLEANED_ROLLBACK, POOLED_ROLLBACK};
use crate::error::is_conflict;

/// What the statements of a transaction may have left.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// Something in the session.
    pub(crate) residue: bool,
    /// A transaction that failed, or that is over: a statement failed, was not heard to the end, or
    /// could have ended it.
    pub(crate) doubt: bool,
    /// A statement lost against a concurrent transaction.
    pub(crate) conflict: bool,
    /// Work that was to be stored together with the rest and was dropped half-way.
    pub(crate) abandoned: bool,
}

impl Trace {
    /// The statements that roll it back.
    pub(crate) fn rollback(&self, behind_pooler: bool) -> &'static str {
        match (behind_pooler, self.residue) {
            (false, _) => "ROLLBACK",
            (true, false) => POOLED_ROLLBACK,
            (true, true) => CLEANED_ROLLBACK,
        }
    }
}

/// An answer that leaves no doubt about the transaction only once it was heard to its end.
pub(crate) struct Heard<'e> {
    answer: BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>,
    trace: &'e mut Trace,
    before: bool,
}

impl<'e> Heard<'e> {
    pub(crate) fn new(
        answer: BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>,
        trace: &'e mut Trace,
    ) -> Self {
        let before = std::mem::replace(&mut trace.doubt, true);
        Self { answer, trace, before }
    }
}

impl Stream for Heard<'_> {
    type Item = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.answer.poll_next_unpin(cx));
        match &item {
            None => self.trace.doubt = self.before,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                self.trace.conflict |= is_conflict(error);
                self.before = true;
            }
        }
        Poll::Ready(item)
    }
}
