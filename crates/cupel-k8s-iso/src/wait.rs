use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// How often a condition is looked at. The API server answers a read in about a millisecond.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long something is waited for. A loop asks it for a pause before it looks again.
pub(crate) struct Patience {
    what: &'static str,
    total: Duration,
    end: Instant,
}

impl Patience {
    /// Waits for `what` to be otherwise, which reads as "the pods did not end".
    pub(crate) fn with(what: &'static str, total: Duration) -> Self {
        Self { what, total, end: Instant::now() + total }
    }

    /// Waits a moment.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when all time has passed.
    pub(crate) async fn pause(&self) -> Result<(), Error> {
        if Instant::now() >= self.end {
            return Err(Error::TimedOut { what: self.what, seconds: self.total.as_secs() });
        }
        sleep(INTERVAL).await;
        Ok(())
    }
}
