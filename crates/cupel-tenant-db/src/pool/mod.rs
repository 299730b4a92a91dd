mod line;
mod session;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use futures::future::{Either, select};
pub(crate) use line::{Binding, Handed, Heir, Lent, Opening};
use line::{Line, Wish};
use session::Live;
pub(crate) use session::{Bound, Session};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;
use crate::error::sqlstate;

/// Connections to one database as one role, each lent to one borrower at a time.
///
/// It is ours and not sqlx's for three reasons. A connection that nobody declared clean is closed and
/// not given to the next borrower. A connection knows its backend, which the seal of a context names.
/// And it can be lent again to the organization that it is bound to.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: PgConnectOptions,
    which: &'static str,
    max: u32,
    times: Times,
    /// The statements that take a session away from whom it is bound to.
    unbind: &'static str,
    permits: Arc<Semaphore>,
    /// How many connections there are, lent and idle.
    live: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
    line: Line,
}

/// A connection that waits; the last one to come back is the first to be lent.
#[derive(Debug)]
struct Idle {
    live: Live,
    since: Instant,
}

/// What ends the waiting.
enum Turn<T> {
    Permit(OwnedSemaphorePermit),
    /// What somebody else had before.
    Given(T),
}

/// How long a connection is waited for and kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Until [`Error::PoolExhausted`], and for one that is opened until [`Error::Unreachable`].
    pub(crate) acquire: Duration,
    /// Until one that nobody uses is closed.
    pub(crate) idle: Duration,
    /// Until one is closed when it comes back.
    pub(crate) life: Duration,
}

impl Default for Times {
    /// As in sqlx's pool.
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self { acquire: Duration::from_secs(30), idle: minutes(10), life: minutes(30) }
    }
}

impl Pool {
    /// A pool that connects when it is asked for a connection. `which` URL it is goes into errors.
    pub(crate) fn new(
        options: PgConnectOptions,
        which: &'static str,
        max: u32,
        times: Times,
        unbind: &'static str,
    ) -> Self {
        let max = max.max(1);
        let permits = Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(1)));
        let (live, idle) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let line = Line::default();
        Self(Arc::new(Inner { options, which, max, times, unbind, permits, live, idle, line }))
    }

    /// The same database over a pool of one connection, on which every borrower follows the one before.
    pub(crate) fn of_one(&self) -> Self {
        let Inner { options, which, times, unbind, .. } = &*self.0;
        Self::new(options.clone(), which, 1, *times, unbind)
    }

    pub(crate) fn max(&self) -> u32 {
        self.0.max
    }

    /// Lends a connection that is bound to nobody.
    ///
    /// Waiting is in turn, and dropping the future gives up the place.
    pub(crate) async fn lend(&self) -> Result<Session, Error> {
        loop {
            let mut session = self.lend_any(None).await?;
            // The connection may be dead; then the next one is taken.
            if session.unbind().await.is_ok() {
                return Ok(session);
            }
        }
    }

    /// Lends a connection that is bound to `bound` rather than another. It may be bound to nobody or to
    /// somebody else: whoever borrows must look, and bind it.
    pub(crate) async fn lend_bound(&self, bound: &Bound) -> Result<Session, Error> {
        self.lend_any(Some(bound)).await
    }

    async fn lend_any(&self, bound: Option<&Bound>) -> Result<Session, Error> {
        match self.in_turn(bound).await? {
            Turn::Permit(permit) => self.session(permit, bound).await,
            Turn::Given(session) => Ok(session),
        }
    }

    /// Lends a connection for a transaction, on which it may be open already. Else, where the opening binds, it may
    /// be bound to anybody, and where it does not, to nobody.
    pub(crate) async fn lend_for(&self, opening: &Arc<Opening>) -> Result<Lent, Error> {
        loop {
            let permit = match self.in_turn(opening).await? {
                Turn::Permit(permit) => permit,
                Turn::Given(lent) => return Ok(lent),
            };
            let bound = opening.binding.as_ref().map(|(bound, _)| bound);
            let mut session = self.session(permit, bound).await?;
            if bound.is_some() || session.unbind().await.is_ok() {
                return Ok(Lent::Session(session));
            }
        }
    }

    /// Waits for a permit or for what somebody else gives, in turn.
    async fn in_turn<W: Wish>(&self, wish: W) -> Result<Turn<W::Given>, Error> {
        let permits = Arc::clone(&self.0.permits);
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            return Ok(Turn::Permit(permit));
        }
        let mut place = self.0.line.join(wish);
        let permit = {
            let (given, permit) = (place.given(), permits.acquire_owned());
            match self.within(select(pin!(given), pin!(permit))).await? {
                Either::Left((given, _)) => return Ok(Turn::Given(given)),
                Either::Right((permit, _)) => permit.map_err(|_| self.exhausted())?,
            }
        };
        // What was about to be given is not let go to waste, unless that fails.
        if place.is_taken()
            && let Ok(Some(given)) = self.within(place.on_its_way()).await
        {
            return Ok(Turn::Given(given));
        }
        Ok(Turn::Permit(permit))
    }

    async fn within<T>(&self, waiting: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout(self.0.times.acquire, waiting).await.map_err(|_| self.exhausted())
    }

    fn exhausted(&self) -> Error {
        Error::PoolExhausted { max: self.0.max }
    }

    /// Takes a session out of the pool, or opens one.
    async fn session(
        &self,
        permit: OwnedSemaphorePermit,
        bound: Option<&Bound>,
    ) -> Result<Session, Error> {
        let mut session = Session::new(Arc::clone(&self.0), permit);
        match self.0.take_idle(bound) {
            Some(idle) => session.wake(idle),
            None => session.start(self.0.connect().await?),
        }
        Ok(session)
    }

    /// Lends a connection that has just answered, for work that could not be repeated on another.
    pub(crate) async fn lend_tested(&self) -> Result<Session, Error> {
        loop {
            let mut session = self.lend().await?;
            if !session.may_be_dead() || session.connection().ping().await.is_ok() {
                return Ok(session);
            }
        }
    }

    /// Opens a connection beside the pool, for what must not wait for a borrower.
    pub(crate) async fn aside(&self) -> Result<PgConnection, Error> {
        PgConnection::connect_with(&self.0.options).await.map_err(Error::connect(self.0.which))
    }

    /// Closes what is idle, and lends nothing more.
    pub(crate) fn close(&self) {
        self.0.permits.close();
        let closed = self.0.idle().drain(..).count();
        self.0.live.fetch_sub(closed, Ordering::Relaxed);
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing that holds the lock can panic half-way through a change.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the idle connection that fits best, or none where a new one fits better. The new one is counted
    /// already, so that nobody else takes its place.
    fn take_idle(&self, bound: Option<&Bound>) -> Option<Idle> {
        let mut idle = self.idle();
        let before = idle.len();
        idle.retain(|it| {
            it.since.elapsed() < self.times.idle && it.live.born.elapsed() < self.times.life
        });
        let closed = before - idle.len();
        let live = self.live.fetch_sub(closed, Ordering::Relaxed) - closed;
        let same = bound.and_then(|it| {
            idle.iter()
                .rposition(|idle| idle.live.bound.as_ref().is_some_and(|bound| bound.to == *it))
        });
        let free = || idle.iter().rposition(|idle| idle.live.bound.is_none());
        let at = same.or_else(free);
        let full = live >= usize::try_from(self.max).unwrap_or(usize::MAX);
        // The one that waited longest is the one whose organization is the least likely to come back.
        let at = at.or_else(|| (full && !idle.is_empty()).then_some(0));
        if at.is_none() {
            self.live.fetch_add(1, Ordering::Relaxed);
        }
        at.map(|at| idle.remove(at))
    }

    /// Connects; tries again while the server starts or has no slot free.
    async fn connect(&self) -> Result<Live, Error> {
        let Times { acquire, .. } = self.times;
        let attempt = || async {
            let connecting = async {
                let mut conn = PgConnection::connect_with(&self.options).await?;
                let backend = conn.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
                Ok(Live { conn, backend, bound: None, born: Instant::now() })
            };
            // A server that does not answer at all would be waited for much longer.
            let connected = tokio::time::timeout(acquire, connecting).await;
            connected.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        };
        attempt
            .retry(backoff(acquire))
            // cannot_connect_now, too_many_connections
            .when(|error| matches!(sqlstate(error).as_deref(), Some("57P03" | "53300")))
            .await
            .map_err(Error::connect(self.which))
    }
}

/// A server that starts is there in a moment. What it answered last is what is told when the time is over.
fn backoff(time: Duration) -> ExponentialBuilder {
    let builder = ExponentialBuilder::default().with_jitter().without_max_times();
    let builder = builder.with_total_delay(Some(time));
    builder.with_min_delay(Duration::from_millis(50)).with_max_delay(Duration::from_secs(1))
}
