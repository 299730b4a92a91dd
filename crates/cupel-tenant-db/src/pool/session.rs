use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cupel_tenant::{OrgId, TenantScope, WorkspaceId};
use sqlx::{Executor, PgConnection};
use tokio::sync::OwnedSemaphorePermit;

use super::line::{Binding, Heir};
use super::{Idle, Inner};

/// An open connection.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) conn: PgConnection,
    pub(super) backend: i32,
    pub(super) bound: Option<BoundUntil>,
    pub(super) born: Instant,
}

/// Whom the server has bound a session to, and until when it counts.
#[derive(Debug)]
pub(super) struct BoundUntil {
    pub(super) to: Bound,
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

impl Session {
    /// One that will be there; it counts from now on.
    pub(super) fn new(pool: Arc<Inner>, permit: OwnedSemaphorePermit) -> Self {
        Self { live: None, counted: true, idle: Duration::ZERO, pool, _permit: permit }
    }

    pub(super) fn wake(&mut self, idle: Idle) {
        self.idle = idle.since.elapsed();
        self.live = Some(idle.live);
    }

    pub(super) fn start(&mut self, live: Live) {
        self.live = Some(live);
    }

    /// Returns who is to have the session next, if somebody waits for a transaction.
    pub(crate) fn heir(&self) -> Option<Heir> {
        if self.may_go_on() { self.pool.line.heir(self) } else { None }
    }

    /// Whether it may serve somebody else.
    fn may_go_on(&self) -> bool {
        let life = self.pool.times.life;
        let is_young = self.live.as_ref().is_some_and(|it| it.born.elapsed() < life);
        is_young && !self.pool.permits.is_closed()
    }

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
    pub(crate) fn set_bound(&mut self, bound: Option<Binding>) {
        let binding = bound.map(|(to, time)| BoundUntil { to, until: Instant::now() + time });
        if let Some(live) = &mut self.live {
            live.bound = binding;
        }
    }

    /// Makes the connection available to the next borrower, and to one that it is bound to rather than another. The
    /// caller vouches that it is clean.
    pub(crate) fn give_back(mut self) {
        if !self.may_go_on() {
            return;
        }
        self.idle = Duration::ZERO;
        let pool = Arc::clone(&self.pool);
        let Some(mut session) = pool.line.give(self) else { return };
        if let Some(live) = session.live.take() {
            session.counted = false;
            pool.idle().push(Idle { live, since: Instant::now() });
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
