//! How long activities wait for a free slot.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use temporalio_sdk::interceptors::{
    ActivityInboundInterceptor, ExecuteActivityInput, ExecuteActivityOutput, Next,
};

/// How long the last activities of an organization waited between being scheduled and being started.
///
/// Both times are the server's, so no clock of ours is involved. Measured in this process, over the
/// last 512 activities that its worker of the organization started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// How many activities were measured.
    pub count: usize,
    /// Half of them waited no longer than this.
    pub median: Duration,
    /// All but one in a hundred waited no longer than this.
    pub p99: Duration,
    /// The longest that one waited.
    pub max: Duration,
}

/// The last waits of one organization.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<VecDeque<Duration>>);

impl Waits {
    const KEPT: usize = 512;

    fn note(&self, wait: Duration) {
        let mut waits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waits.len() == Self::KEPT {
            waits.pop_front();
        }
        waits.push_back(wait);
    }

    /// Returns the statistics; `None` if nothing was measured yet.
    pub(crate) fn read(&self) -> Option<Waiting> {
        let mut waits: Vec<Duration> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        waits.sort_unstable();
        // Nearest rank: the smallest value that so many per cent of all are not above.
        let rank = |per_cent: usize| {
            waits.get((waits.len() * per_cent).div_ceil(100).saturating_sub(1)).copied()
        };
        Some(Waiting { count: waits.len(), median: rank(50)?, p99: rank(99)?, max: rank(100)? })
    }
}

/// Notes the wait of each activity that a worker starts.
pub(crate) struct Stopwatch(pub(crate) Arc<Waits>);

impl ActivityInboundInterceptor for Stopwatch {
    fn execute_activity<'a>(
        &'a self,
        input: ExecuteActivityInput,
        next: Next<'a, ExecuteActivityInput, ExecuteActivityOutput<'a>>,
    ) -> ExecuteActivityOutput<'a> {
        let info = input.activity_info();
        if let (Some(scheduled), Some(started)) =
            (info.current_attempt_scheduled_time, info.started_time)
        {
            self.0.note(started.duration_since(scheduled).unwrap_or_default());
        }
        next.run(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_waits_are_read_by_rank() {
        let waits = Waits::default();
        assert_eq!(waits.read(), None);
        for millis in 1..=1000 {
            waits.note(Duration::from_millis(millis));
        }
        let read = waits.read().unwrap();
        assert_eq!(read.count, 512);
        assert_eq!(read.max, Duration::from_millis(1000));
        assert_eq!(read.median, Duration::from_millis(488 + 256));
        assert_eq!(read.p99, Duration::from_millis(488 + 507));
    }
}
