use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cupel_tenant::OrgId;
use temporal_client::Client;
use temporalio_common::WorkflowDefinition;
use temporalio_sdk::activities::ActivityImplementer;
use temporalio_sdk::runtime::worker_tuner::{FixedSizeSlotSupplier, TunerHolder};
use temporalio_sdk::runtime::{PollerBehavior, RuntimeOptions};
use temporalio_sdk::workflow_interceptors::WorkflowInterceptorConstructor;
use temporalio_sdk::workflows::{WorkflowImplementation, WorkflowRegistrationError};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::fence::Fence;
use crate::lane::Lane;
use crate::standing::Standing;
use crate::waits::Stopwatch;
use crate::{Error, WorkerLimits};

/// How often a worker tells the server about its slots, which is how fresh
/// [`Slots`](crate::Slots) are.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// How often a worker asks whether its organization was suspended by another process.
const WATCH: Duration = Duration::from_secs(5);

/// The workflows and activities of a worker.
///
/// Everything else about a worker (its queue, its limits, its interceptors) is not for the
/// application to set.
#[must_use = "a worker without workflows and activities has nothing to do"]
pub struct Work {
    options: WorkerOptions,
    refused: Option<WorkflowRegistrationError>,
}

impl Work {
    /// Adds every activity of `instance`, a type with `#[activities]`.
    pub fn register_activities<A: ActivityImplementer>(mut self, instance: A) -> Self {
        self.options.register_activities(instance);
        self
    }

    /// Adds a workflow, a type with `#[workflow]`. Two of one name are refused when the worker
    /// starts.
    pub fn register_workflow<W>(mut self) -> Self
    where
        W: WorkflowImplementation,
        <W::Run as WorkflowDefinition>::Input: Send,
    {
        if let Err(error) = self.options.register_workflow::<W>() {
            self.refused.get_or_insert(error);
        }
        self
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("refused", &self.refused).finish_non_exhaustive()
    }
}

/// A running worker of one organization. Stops when told to, when dropped, and when its organization
/// is suspended: by this process at once, by another within some six seconds.
///
/// It has a thread of its own, on which workflows and activities run: one organization's busy code
/// holds up no other's. Activities that block or compute for long belong on
/// `tokio::task::spawn_blocking`, or they hold up their own organization.
#[derive(Debug)]
#[must_use = "a worker stops when its handle is dropped"]
pub struct WorkerHandle {
    org: OrgId,
    engine: Engine,
}

impl WorkerHandle {
    /// Returns whose worker it is.
    pub fn org_id(&self) -> &OrgId {
        &self.org
    }

    /// Stops the worker: no new work is taken, running activities get
    /// [`WorkerLimits::grace`] to finish. Returns once it has ended.
    ///
    /// Dropped half-way, the worker stops all the same.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if it ended by an error.
    pub async fn stop(self) -> Result<(), Error> {
        self.engine.stop().await
    }

    /// Waits until the worker has ended: stopped by suspending its organization, or by an error that
    /// retrying does not mend.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if it ended by an error.
    pub async fn ended(&self) -> Result<(), Error> {
        self.engine.ended().await
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.engine.tell_to_stop();
    }
}

/// The thread of a worker, as its owners see it.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    stop: Arc<watch::Sender<bool>>,
    end: watch::Receiver<End>,
}

#[derive(Clone, Debug)]
enum End {
    NotYet,
    Stopped,
    Failed(Arc<Error>),
}

impl Engine {
    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.end.borrow(), End::NotYet)
    }

    fn tell_to_stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) async fn stop(&self) -> Result<(), Error> {
        self.tell_to_stop();
        self.ended().await
    }

    async fn ended(&self) -> Result<(), Error> {
        let mut end = self.end.clone();
        // The sender goes away without a word only if the thread panicked.
        let end = end.wait_for(|end| !matches!(end, End::NotYet)).await;
        match end.as_deref() {
            Ok(End::NotYet | End::Stopped) => Ok(()),
            Ok(End::Failed(error)) => Err(Error::worker(Arc::clone(error))),
            Err(_) => Err(Error::worker("the thread of the worker panicked")),
        }
    }
}

/// Starts the worker of `lane`'s organization. Returns once it polls.
pub(crate) async fn start(
    lane: &Lane,
    limits: WorkerLimits,
    work: impl FnOnce(Work) -> Work,
) -> Result<WorkerHandle, Error> {
    if let Some(rule) = limits.broken_rule() {
        return Err(Error::Limits { rule });
    }
    lane.standing.admit().await?;
    let client = lane.client().await?;
    let options = options(lane, limits)?;
    let Work { options, refused } = work(Work { options, refused: None });
    if let Some(source) = refused {
        return Err(Error::Registration { source: source.into() });
    }
    let (ready, started) = oneshot::channel();
    let engine = lane.occupy(|| engine(lane, client, options, ready))?;
    let handle = WorkerHandle { org: lane.org.clone(), engine };
    match started.await {
        Ok(()) => Ok(handle),
        // The thread ended before it was ready, and says why.
        Err(_) => match handle.ended().await {
            Err(error) => Err(error),
            Ok(()) => Err(Error::worker("the worker was stopped while it started")),
        },
    }
}

fn options(lane: &Lane, limits: WorkerLimits) -> Result<WorkerOptions, Error> {
    let tuner = TunerHolder::builder()
        .workflow_task_slot_supplier(FixedSizeSlotSupplier::new(limits.max_concurrent_runs))
        .activity_task_slot_supplier(FixedSizeSlotSupplier::new(limits.max_concurrent_activities))
        .local_activity_task_slot_supplier(FixedSizeSlotSupplier::new(
            limits.max_concurrent_activities,
        ))
        .nexus_task_slot_supplier(FixedSizeSlotSupplier::new(1))
        .build();
    let mut options = WorkerOptions::new(lane.queue.to_string())
        .tuner(tuner)
        .max_cached_workflows(limits.max_cached_runs)
        .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(limits.pollers))
        .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(limits.pollers))
        // An activity that is handed out eagerly passes the queue's limit by, and a suspension.
        .max_eager_activity_reservations_per_workflow_task(0)
        .maybe_max_task_queue_activities_per_second(limits.activities_per_second)
        .graceful_shutdown_period(limits.grace)
        .activity_inbound_interceptor(Stopwatch(Arc::clone(&lane.waits)))
        .build();
    if lane.guards.fence {
        let org = lane.org.clone();
        options.workflow_interceptor(WorkflowInterceptorConstructor::new(move |_| {
            Fence::new(org.as_str())
        }));
    }
    Ok(options)
}

fn engine(
    lane: &Lane,
    client: Client,
    options: WorkerOptions,
    ready: oneshot::Sender<()>,
) -> Result<Engine, Error> {
    let (stop, stopping) = watch::channel(false);
    let (ended, end) = watch::channel(End::NotYet);
    let standing = Arc::clone(&lane.standing);
    let body = move || {
        ended.send_replace(match run(client, options, ready, stopping, &standing) {
            Ok(()) => End::Stopped,
            Err(error) => End::Failed(Arc::new(error)),
        });
    };
    thread::Builder::new()
        .name(format!("cupel {}", lane.org))
        .spawn(body)
        .map_err(Error::worker)?;
    Ok(Engine { stop: Arc::new(stop), end })
}

/// The life of a worker, on its own thread. (`Worker::run` is not `Send`.)
fn run(
    client: Client,
    options: WorkerOptions,
    ready: oneshot::Sender<()>,
    mut stopping: watch::Receiver<bool>,
    standing: &Standing,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::worker)?;
    runtime.block_on(async {
        let heartbeat = RuntimeOptions::builder()
            .heartbeat_interval(Some(HEARTBEAT))
            .build()
            .map_err(Error::worker)?;
        let sdk = Runtime::from_current_tokio(heartbeat).map_err(Error::worker)?;
        let registry = client.connection().workers();
        let mut worker = Worker::new(&sdk, client, options).map_err(Error::worker)?;
        let key = worker.worker_instance_key();
        let shut_down = worker.shutdown_handle();
        // Whoever waited may have gone; the worker then stops, since the handle was dropped too.
        let _ = ready.send(());
        let ended = {
            let mut life = Box::pin(worker.run());
            tokio::select! {
                ended = &mut life => ended,
                () = told_or_suspended(&mut stopping, standing) => {
                    shut_down();
                    life.await
                }
            }
        };
        // The SDK leaves ended workers in the registry, which goes on sending their heartbeats and
        // never frees them.
        if let Err(error) = registry.finalize_unregister(key) {
            tracing::warn!(%error, "an ended worker stays in the registry of its connection");
        }
        ended.map_err(Error::worker)
    })
}

/// Returns once the worker is to stop.
async fn told_or_suspended(stopping: &mut watch::Receiver<bool>, standing: &Standing) {
    loop {
        match timeout(WATCH, stopping.wait_for(|stop| *stop)).await {
            // Told to, or nobody is left who could tell.
            Ok(_) => return,
            Err(_) if matches!(standing.admit().await, Err(Error::Suspended { .. })) => return,
            Err(_) => {}
        }
    }
}
