use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::SqlStr;
use tokio::sync::oneshot;

use super::{Bound, Session};
use crate::Error;

/// Those who wait for a connection, in the order in which they came.
///
/// Who waits for a transaction says how it opens. Then whoever commits at that time sends its opening in the
/// message of the commit, and hands the session over with the transaction open: that saves a round trip for each
/// transaction while more are wanted than there are connections.
///
/// Whom the session is bound to already may come before the first, which saves binding it anew; nobody who is
/// the first is passed over for long.
#[derive(Debug, Default)]
pub(crate) struct Line(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    places: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    heir: Option<Heir>,
    /// How often somebody came before it while it was the first.
    passed_over: u32,
}

/// How often the first in the line is passed over at most.
const PASSED_OVER: u32 = 4;
/// How far back somebody is looked for whom the session is bound to.
const LOOKED_AT: usize = 64;

/// Whom a session is bound to, and for how long that counts.
pub(crate) type Binding = (Bound, Duration);

/// The statements that open a transaction on a session, and whether they are to bind it.
type Statements = dyn Fn(&Session, bool) -> Result<SqlStr, Error> + Send + Sync;

/// How a transaction opens.
pub(crate) struct Opening {
    pub(crate) statements: Box<Statements>,
    /// Whom the session is bound to afterwards, if it is to be.
    pub(crate) binding: Option<Binding>,
}

/// A session whose transaction was opened by somebody else, and what the opening answered.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) session: Session,
    pub(crate) answer: Option<String>,
}

/// Who waits for a transaction and is the next to have one.
pub(crate) struct Heir {
    pub(crate) opening: Arc<Opening>,
    to: oneshot::Sender<Handed>,
}

/// A place in the line. Dropped, it is given up.
pub(crate) struct Place<'a> {
    line: &'a Line,
    number: u64,
    /// The opening, and where the session comes from, if it is for a transaction.
    wanted: Option<(Arc<Opening>, oneshot::Receiver<Handed>)>,
}

impl Line {
    /// Takes the last place.
    pub(crate) fn join(&self, opening: Option<&Arc<Opening>>) -> Place<'_> {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        let (heir, wanted) = opening.map(ask).unzip();
        waiting.places.push_back(Waiter { number, heir, passed_over: 0 });
        Place { line: self, number, wanted }
    }

    /// Takes out of the line whom the session is bound to or else the first, if the first waits for a transaction.
    pub(crate) fn heir(&self, session: &Session) -> Option<Heir> {
        let mut waiting = self.waiting();
        let first = waiting.places.front_mut().filter(|it| it.heir.is_some())?;
        if first.passed_over == PASSED_OVER {
            return waiting.places.pop_front()?.heir;
        }
        first.passed_over += 1;
        let mut near = waiting.places.iter().take(LOOKED_AT);
        let at = near.position(|it| it.heir.as_ref().is_some_and(|it| it.is_bound(session)));
        waiting.places.remove(at.unwrap_or(0))?.heir
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ask(opening: &Arc<Opening>) -> (Heir, (Arc<Opening>, oneshot::Receiver<Handed>)) {
    let (to, from) = oneshot::channel();
    (Heir { opening: Arc::clone(opening), to }, (Arc::clone(opening), from))
}

impl Opening {
    /// Returns the statements, and whom they bind the session to, unless it is bound so already.
    pub(crate) fn on(&self, session: &Session) -> Result<(SqlStr, Option<Binding>), Error> {
        let binding = self.binding.clone().filter(|(bound, _)| !session.is_bound_to(bound));
        Ok(((self.statements)(session, binding.is_some())?, binding))
    }
}

impl Heir {
    /// Whether the session is bound to it.
    fn is_bound(&self, session: &Session) -> bool {
        self.opening.binding.as_ref().is_some_and(|(bound, _)| session.is_bound_to(bound))
    }

    /// Hands the session over. If nobody wants it any more, it is closed: its transaction is open.
    pub(crate) fn inherit(self, handed: Handed) {
        drop(self.to.send(handed));
    }
}

impl Place<'_> {
    /// Waits for a session that is handed over. Who was taken out of the line and got none after all, because a
    /// commit failed, is the first again.
    pub(crate) async fn handed(&mut self) -> Handed {
        loop {
            let Some((opening, from)) = &mut self.wanted else {
                return std::future::pending().await;
            };
            if let Ok(handed) = from.await {
                return handed;
            }
            let (heir, wanted) = ask(opening);
            let again = Waiter { number: self.number, heir: Some(heir), passed_over: 0 };
            self.line.waiting().places.push_front(again);
            self.wanted = Some(wanted);
        }
    }

    /// Gives the place up. Returns what is on its way to it, if it is.
    pub(crate) fn leave(mut self) -> Option<oneshot::Receiver<Handed>> {
        let was_taken = !self.give_up();
        self.wanted.take().filter(|_| was_taken).map(|(_, from)| from)
    }

    /// Returns whether it was still in the line.
    fn give_up(&self) -> bool {
        let mut waiting = self.line.waiting();
        let at = waiting.places.iter().position(|it| it.number == self.number);
        at.and_then(|at| waiting.places.remove(at)).is_some()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl std::fmt::Debug for Heir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its statements hold a seal.
        f.debug_struct("Heir").finish_non_exhaustive()
    }
}
