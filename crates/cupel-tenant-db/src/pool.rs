use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use cupel_tenant::{OrgId, TenantScope, WorkspaceId};
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
    /// The statements that take a session away from whom it is bound to.
    unbind: &'static str,
    permits: Arc<Semaphore>,
    /// How many connections there are, lent and idle.
    live: AtomicUsize,
    idle: Mutex<Vec<Idle>>,
}

/// A connection that waits; the last one to come back is the first to be lent.
#[derive(Debug)]
struct Idle {
    live: Live,
    since: Instant,
}

#[derive(Debug)]
struct Live {
    conn: PgConnection,
    backend: i32,
    bound: Option<Binding>,
    born: Instant,
}

/// Whom the server has bound a session to, and until when it counts.
#[derive(Debug)]
struct Binding {
    to: Bound,
    until: Instant,
}

/// The organization, and its workspace, that a session stays bound to between statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    org: OrgId,
    workspace: Option<WorkspaceId>,
}

impl From<&TenantScope> for Bound {
    fn from(scope: &TenantScope) -> Self {
        Self { org: scope.org_id().clone(), workspace: scope.workspace_id().cloned() }
    }
}

/// A connection on loan. Dropped, it is closed; only [`Session::give_back`] makes it available again.
#[derive(Debug)]
pub(crate) struct Session {
    live: Option<Live>,
    /// Whether it is one of those that the pool counts: from before it is connected, until it is given back.
    counted: bool,
    idle: Duration,
    pool: Arc<Inner>,
    _permit: OwnedSemaphorePermit,
}

/// As in sqlx's pool.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_IDLE: Duration = Duration::from_secs(10 * 60);
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

impl Pool {
    /// A pool that connects when it is asked for a connection. `which` URL it is goes into errors.
    pub(crate) fn new(
        options: PgConnectOptions,
        which: &'static str,
        max: u32,
        unbind: &'static str,
    ) -> Self {
        let max = max.max(1);
        let permits = Arc::new(Semaphore::new(usize::try_from(max).unwrap_or(1)));
        let (live, idle) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        Self(Arc::new(Inner { options, which, max, unbind, permits, live, idle }))
    }

    /// The same database over a pool of one connection, on which every borrower follows the one before.
    pub(crate) fn of_one(&self) -> Self {
        Self::new(self.0.options.clone(), self.0.which, 1, self.0.unbind)
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
        let waiting =
            tokio::time::timeout(LONGEST_WAIT, Arc::clone(&self.0.permits).acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            return Err(Error::PoolExhausted { max: self.0.max });
        };
        let (pool, idle) = (Arc::clone(&self.0), Duration::ZERO);
        let idle_one = self.0.take_idle(bound);
        let mut session = Session { live: None, counted: true, idle, pool, _permit: permit };
        if let Some(idle) = idle_one {
            session.idle = idle.since.elapsed();
            session.live = Some(idle.live);
        } else {
            session.live = Some(self.0.connect().await?);
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
            it.since.elapsed() < LONGEST_IDLE && it.live.born.elapsed() < LONGEST_LIFE
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
        let attempt = || async {
            let mut conn = PgConnection::connect_with(&self.options).await?;
            let backend = conn.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
            Ok(Live { conn, backend, bound: None, born: Instant::now() })
        };
        attempt
            .retry(ExponentialBuilder::default().with_max_times(6).with_jitter())
            // cannot_connect_now, too_many_connections
            .when(|error| matches!(sqlstate(error).as_deref(), Some("57P03" | "53300")))
            .await
            .map_err(Error::connect(self.which))
    }
}

impl Session {
    /// Returns the connection.
    #[expect(clippy::expect_used, reason = "only `give_back` and `drop` take the connection out")]
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.live.as_mut().expect("a session has its connection until it is given back").conn
    }

    /// Returns the process id of the backend.
    pub(crate) fn backend(&self) -> i32 {
        self.live.as_ref().map_or(0, |live| live.backend)
    }

    /// Takes the session away from whom it is bound to, if it is.
    pub(crate) async fn unbind(&mut self) -> Result<(), sqlx::Error> {
        if self.live.as_ref().is_some_and(|live| live.bound.is_some()) {
            let unbind = self.pool.unbind;
            self.connection().execute(unbind).await?;
            self.set_bound(None);
        }
        Ok(())
    }

    /// Returns whether the session is bound to `bound` and that counts.
    pub(crate) fn is_bound_to(&self, bound: &Bound) -> bool {
        let binding = self.live.as_ref().and_then(|live| live.bound.as_ref());
        binding.is_some_and(|it| it.to == *bound && Instant::now() < it.until)
    }

    /// Notes whom the server has bound the session to, and for how long that counts.
    pub(crate) fn set_bound(&mut self, bound: Option<(Bound, Duration)>) {
        let binding = bound.map(|(to, time)| Binding { to, until: Instant::now() + time });
        if let Some(live) = &mut self.live {
            live.bound = binding;
        }
    }

    /// Makes the connection available to the next borrower. The caller vouches that it is clean.
    pub(crate) fn give_back(mut self) {
        if let Some(live) = self.live.take() {
            if self.pool.permits.is_closed() {
                return;
            }
            self.counted = false;
            self.pool.idle().push(Idle { live, since: Instant::now() });
        }
    }

    /// Whether the server may have gone away since the session was used last: not in the time of a round
    /// trip or two.
    pub(crate) fn may_be_dead(&self) -> bool {
        self.idle > Duration::from_secs(1)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.live.take());
        if self.counted {
            self.pool.live.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
