//! Clients that have something to do at fixed times, however long the last thing took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::BoxError;
use crate::load::{Chance, Picks};

/// Clients that work until they are told to stop.
#[derive(Debug)]
pub struct Steady {
    stopped: Arc<AtomicBool>,
    clients: JoinSet<Result<Vec<Wait>, BoxError>>,
}

/// One thing that was done: when it was due, and how long after that it was done.
#[derive(Clone, Copy, Debug)]
struct Wait {
    due: Instant,
    took: Duration,
}

/// What was done, by all clients.
#[derive(Debug)]
pub struct Waits(Vec<Wait>);

impl Steady {
    /// Starts so many clients, each with something to do once in every `pace`. What comes due while another
    /// thing is waited for is done late, and its wait counts from when it was due.
    pub fn start<W, F>(clients: u32, pace: Duration, work: W) -> Self
    where
        W: Fn(Picks) -> F + Clone + Send + 'static,
        F: Future<Output = Result<(), BoxError>> + Send,
    {
        let stopped = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for client in 0..clients {
            let (work, stopped) = (work.clone(), Arc::clone(&stopped));
            running.spawn(async move {
                let mut waits = Vec::new();
                let mut chance = Chance::of(client.into());
                let mut due = begun + pace * client / clients;
                while !stopped.load(Ordering::Relaxed) {
                    tokio::time::sleep_until(due.into()).await;
                    work(chance.picks()).await?;
                    waits.push(Wait { due, took: due.elapsed() });
                    due += pace;
                }
                Ok(waits)
            });
        }
        Self { stopped, clients: running }
    }

    /// Stops the clients.
    ///
    /// # Errors
    ///
    /// The first that a client has met.
    pub async fn stop(mut self) -> Result<Waits, BoxError> {
        self.stopped.store(true, Ordering::Relaxed);
        let mut waits = Vec::new();
        while let Some(of_one) = self.clients.join_next().await {
            waits.extend(of_one??);
        }
        Ok(Waits(waits))
    }
}

impl Waits {
    /// Returns how long was waited for what was under way between two moments, in nanoseconds.
    ///
    /// # Errors
    ///
    /// If a wait took centuries.
    pub fn between(&self, from: Instant, to: Instant) -> Result<Histogram<u64>, BoxError> {
        let mut times = Histogram::<u64>::new(3)?;
        for wait in self.0.iter().filter(|it| it.due < to && it.due + it.took > from) {
            times.record(u64::try_from(wait.took.as_nanos())?)?;
        }
        Ok(times)
    }
}
