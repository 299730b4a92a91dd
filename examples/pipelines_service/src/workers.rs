//! One worker for each active organization, kept up while organizations come, go and come back.

use std::collections::BTreeMap;
use std::time::Duration;

use cupel_isolation::queues::WorkerHandle;
use cupel_isolation::{Error, Isolation, OrgId, OrgState};
use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::time;

use crate::pipeline_run::{PipelineRun, Steps};

/// How often the registry is looked at.
const EVERY: Duration = Duration::from_secs(5);

/// The workers of this process.
///
/// Dropped, they stop; [`Workers::stop`] waits for what they are doing.
#[derive(Debug)]
pub struct Workers {
    isolation: Isolation,
    running: BTreeMap<OrgId, WorkerHandle>,
}

impl Workers {
    /// No workers yet.
    pub fn new(isolation: Isolation) -> Self {
        Self { isolation, running: BTreeMap::new() }
    }

    /// Starts the workers that are missing, and lets go of those that ended: suspending an
    /// organization ends its worker, wherever it runs.
    ///
    /// # Errors
    ///
    /// [`Error::NoRegistry`], or [`Error::Layer`] if the registry cannot be read. A worker that does
    /// not start is logged and tried again the next time: it keeps no other from starting.
    pub async fn reconcile(&mut self) -> Result<(), Error> {
        self.running.retain(|org, worker| match worker.ended().now_or_never() {
            None => true,
            Some(Ok(())) => false,
            Some(Err(error)) => {
                tracing::warn!(%org, %error, "a worker ended");
                false
            }
        });
        for record in self.isolation.list().await? {
            if record.state == OrgState::Active && !self.running.contains_key(&record.org) {
                match self.start(&record.org).await {
                    Ok(worker) => drop(self.running.insert(record.org, worker)),
                    Err(error) => tracing::warn!(org = %record.org, %error, "no worker started"),
                }
            }
        }
        Ok(())
    }

    async fn start(&self, org: &OrgId) -> Result<WorkerHandle, Error> {
        let (isolation, runtime) = (self.isolation.clone(), Handle::current());
        let steps = Steps { isolation, org: org.clone(), runtime };
        self.isolation
            .worker(org, |work| work.register_activities(steps).register_workflow::<PipelineRun>())
            .await
    }

    /// Keeps them up until `end`, then stops them.
    pub async fn keep_until(mut self, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        let mut tick = time::interval(EVERY);
        loop {
            tokio::select! {
                () = &mut end => break,
                _ = tick.tick() => {}
            }
            if let Err(error) = self.reconcile().await {
                tracing::warn!(%error, "the workers are as they were");
            }
        }
        self.stop().await;
    }

    /// Stops them all: no new work is taken, and what runs may finish.
    pub async fn stop(self) {
        let stopping = self.running.into_iter().map(async |(org, worker)| {
            if let Err(error) = worker.stop().await {
                tracing::warn!(%org, %error, "a worker did not stop in order");
            }
        });
        futures::future::join_all(stopping).await;
    }
}
