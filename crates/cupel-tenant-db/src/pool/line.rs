use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::SqlStr;
use tokio::sync::oneshot;

use super::session::{Bound, Session};
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
    wanted: Wanted,
    /// How often somebody came before it while it was the first.
    passed_over: u32,
}

/// What somebody waits for, and where it goes.
pub(super) enum Wanted {
    /// A session, if possible one that is bound so.
    Session(Option<Bound>, oneshot::Sender<Session>),
    /// A transaction that opens so.
    Transaction(Arc<Opening>, oneshot::Sender<Lent>),
}

/// What somebody asks for, and gets from whoever had it before if not from the pool.
pub(super) trait Wish {
    type Given;

    fn ask(&self, to: oneshot::Sender<Self::Given>) -> Wanted;
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

/// What somebody gets who asks for a transaction.
#[derive(Debug)]
pub(crate) enum Lent {
    /// A session on which it is to be opened.
    Session(Session),
    /// One on which it is open.
    Handed(Handed),
}

/// Who waits for a transaction and is the next to have one.
pub(crate) struct Heir {
    pub(crate) opening: Arc<Opening>,
    to: oneshot::Sender<Lent>,
}

/// A place in the line. Dropped, it is given up.
pub(super) struct Place<'a, W: Wish> {
    line: &'a Line,
    number: u64,
    wish: W,
    from: oneshot::Receiver<W::Given>,
}

impl Line {
    /// Takes the last place.
    pub(super) fn join<W: Wish>(&self, wish: W) -> Place<'_, W> {
        let (to, from) = oneshot::channel();
        let wanted = wish.ask(to);
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.places.push_back(Waiter { number, wanted, passed_over: 0 });
        Place { line: self, number, wish, from }
    }

    /// Takes out of the line whom the session is bound to or else the first, if the first waits for a transaction.
    pub(super) fn heir(&self, session: &Session) -> Option<Heir> {
        let mut waiting = self.waiting();
        let is_transaction = |it: &Wanted| matches!(it, Wanted::Transaction(..));
        waiting.places.front().filter(|it| is_transaction(&it.wanted))?;
        let bound = waiting.fitting(|it| is_transaction(it) && it.is_bound(session));
        match waiting.places.remove(bound.unwrap_or(0))?.wanted {
            Wanted::Transaction(opening, to) => Some(Heir { opening, to }),
            Wanted::Session(..) => None,
        }
    }

    /// Gives the session to whom it is bound to, or returns it.
    pub(super) fn give(&self, session: Session) -> Option<Session> {
        let wanted = {
            let mut waiting = self.waiting();
            let bound = waiting.fitting(|it| it.is_bound(&session));
            bound.and_then(|at| waiting.places.remove(at)).map(|it| it.wanted)
        };
        match wanted {
            None => Some(session),
            // It may have been given up in this moment.
            Some(Wanted::Session(_, to)) => to.send(session).err(),
            Some(Wanted::Transaction(_, to)) => match to.send(Lent::Session(session)) {
                Err(Lent::Session(session)) => Some(session),
                _ => None,
            },
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Returns the first that fits, unless too many have come before the first already.
    fn fitting(&mut self, fits: impl Fn(&Wanted) -> bool) -> Option<usize> {
        let at = self.places.iter().take(LOOKED_AT).position(|it| fits(&it.wanted))?;
        if at > 0 {
            let first = self.places.front_mut().filter(|it| it.passed_over < PASSED_OVER)?;
            first.passed_over += 1;
        }
        Some(at)
    }
}

impl Wanted {
    fn is_bound(&self, session: &Session) -> bool {
        let bound = match self {
            Self::Session(bound, _) => bound.as_ref(),
            Self::Transaction(opening, _) => opening.binding.as_ref().map(|(bound, _)| bound),
        };
        bound.is_some_and(|it| session.is_bound_to(it))
    }
}

impl Wish for Option<&Bound> {
    type Given = Session;

    fn ask(&self, to: oneshot::Sender<Session>) -> Wanted {
        Wanted::Session(self.cloned(), to)
    }
}

impl Wish for &Arc<Opening> {
    type Given = Lent;

    fn ask(&self, to: oneshot::Sender<Lent>) -> Wanted {
        Wanted::Transaction(Arc::clone(self), to)
    }
}

impl Opening {
    /// Returns the statements, and whom they bind the session to, unless it is bound so already.
    pub(crate) fn on(&self, session: &Session) -> Result<(SqlStr, Option<Binding>), Error> {
        let binding = self.binding.clone().filter(|(bound, _)| !session.is_bound_to(bound));
        Ok(((self.statements)(session, binding.is_some())?, binding))
    }
}

impl Heir {
    /// Hands the session over. If nobody wants it any more, it is closed: its transaction is open.
    pub(crate) fn inherit(self, handed: Handed) {
        drop(self.to.send(Lent::Handed(handed)));
    }
}

impl<W: Wish> Place<'_, W> {
    /// Waits for what somebody else gives. Who was taken out of the line and got nothing after all, because a
    /// commit failed, is the first again.
    pub(super) async fn given(&mut self) -> W::Given {
        loop {
            if let Ok(given) = (&mut self.from).await {
                return given;
            }
            let (to, from) = oneshot::channel();
            let wanted = self.wish.ask(to);
            self.from = from;
            let again = Waiter { number: self.number, wanted, passed_over: 0 };
            self.line.waiting().places.push_front(again);
        }
    }

    /// Whether somebody has taken it out of the line, and is about to give it something.
    pub(super) fn is_taken(&self) -> bool {
        self.line.waiting().places.iter().all(|it| it.number != self.number)
    }

    /// Waits for what is about to be given, if it is.
    pub(super) async fn on_its_way(&mut self) -> Option<W::Given> {
        (&mut self.from).await.ok()
    }
}

impl<W: Wish> Drop for Place<'_, W> {
    fn drop(&mut self) {
        let mut waiting = self.line.waiting();
        waiting.places.retain(|it| it.number != self.number);
    }
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The statements of an opening hold a seal.
        f.write_str(match self {
            Self::Session(..) => "Session",
            Self::Transaction(..) => "Transaction",
        })
    }
}

impl std::fmt::Debug for Heir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its statements hold a seal.
        f.debug_struct("Heir").finish_non_exhaustive()
    }
}
