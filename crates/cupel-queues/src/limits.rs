use std::time::Duration;

/// How much of a process one organization's worker may use.
///
/// Limits are the worker's own: two processes with a worker each have twice the slots.
/// [`activities_per_second`](Self::activities_per_second) is the exception, which the server holds
/// for the queue as a whole.
///
/// # Examples
///
/// ```
/// use cupel_queues::WorkerLimits;
///
/// let limits = WorkerLimits { max_concurrent_activities: 4, ..WorkerLimits::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "written out with `..Default::default()`")]
pub struct WorkerLimits {
    /// How many runs are advanced at the same time (Temporal's workflow task slots). A run that
    /// waits for an activity or a timer takes none. At least 2, which Temporal needs to serve both a
    /// worker's own cached runs and new ones. Default 8.
    pub max_concurrent_runs: usize,
    /// How many activities run at the same time. At least 1. Default 16.
    pub max_concurrent_activities: usize,
    /// How many activities of the queue the server hands out per second, over all workers; the last
    /// worker to poll wins. `None`, the default, sets no limit. Activities handed out eagerly would
    /// pass it by, so they are switched off.
    pub activities_per_second: Option<f64>,
    /// How many runs stay in memory between their steps; others are replayed from history. Default
    /// 200.
    pub max_cached_runs: usize,
    /// How many long polls each of the two halves, workflows and activities, holds open. A Temporal
    /// frontend allows 1,200 per namespace and kind by default (`frontend.namespaceCount`), over all
    /// organizations. At least 2. Default 2.
    pub pollers: usize,
    /// How long activities may finish when the worker stops, before they are cancelled. Default 5 s.
    pub grace: Duration,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            max_concurrent_runs: 8,
            max_concurrent_activities: 16,
            activities_per_second: None,
            max_cached_runs: 200,
            pollers: 2,
            grace: Duration::from_secs(5),
        }
    }
}

impl WorkerLimits {
    /// Returns which rule the limits break, if any.
    pub(crate) fn broken_rule(&self) -> Option<&'static str> {
        if self.max_concurrent_runs < 2 {
            Some("max_concurrent_runs is at least 2")
        } else if self.max_concurrent_activities < 1 {
            Some("max_concurrent_activities is at least 1")
        } else if self.pollers < 2 {
            Some("pollers is at least 2")
        } else if self.activities_per_second.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            Some("activities_per_second is a finite number above zero")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_work_are_named() {
        let good = WorkerLimits::default();
        assert_eq!(good.broken_rule(), None);
        assert!(WorkerLimits { max_concurrent_runs: 1, ..good }.broken_rule().is_some());
        assert!(WorkerLimits { max_concurrent_activities: 0, ..good }.broken_rule().is_some());
        assert!(WorkerLimits { pollers: 1, ..good }.broken_rule().is_some());
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let limits = WorkerLimits { activities_per_second: Some(rate), ..good };
            assert!(limits.broken_rule().is_some(), "{rate} per second");
        }
    }
}
