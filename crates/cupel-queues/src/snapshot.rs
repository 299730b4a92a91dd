use std::time::Duration;

use temporal_client::tonic::Request;
use temporalio_common::protos::temporal::api::enums::v1::{TaskQueueType, WorkerStatus};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::worker::v1::WorkerSlotsInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeTaskQueueRequest, DescribeTaskQueueResponse, DescribeWorkerRequest, ListWorkersRequest,
};

use crate::lane::Lane;
use crate::{Error, QueueName, TenantQueues, Waiting};

/// How the queue of one organization stands.
///
/// A Temporal queue has two halves, and each is told apart: steps of workflows, and activities.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueueSnapshot {
    /// The queue.
    pub queue: QueueName,
    /// Whether the organization is suspended.
    pub suspended: bool,
    /// How many activities the server hands out per second at most; `None` without a limit of the
    /// queue's own. Source: `DescribeTaskQueue`, its configuration.
    pub activities_per_second: Option<f32>,
    /// The half that advances runs.
    pub workflows: HalfSnapshot,
    /// The half that does the work.
    pub activities: HalfSnapshot,
    /// How long activities waited for a slot (Temporal's schedule-to-start latency), as measured by
    /// the worker of this process; `None` if it has started none.
    pub waiting: Option<Waiting>,
}

impl QueueSnapshot {
    /// Returns how many tasks wait in both halves.
    pub fn depth(&self) -> u64 {
        self.workflows.depth.saturating_add(self.activities.depth)
    }

    /// Returns how long the oldest task of either half has waited.
    pub fn oldest(&self) -> Duration {
        self.workflows.oldest.max(self.activities.oldest)
    }
}

/// One half of a queue.
///
/// Depth, age and rates are the server's own estimates (`DescribeTaskQueue` with `report_stats`). They
/// count what goes through the queue: the next step of a run whose worker has it in memory does not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HalfSnapshot {
    /// Tasks that wait to be handed out. Approximate.
    pub depth: u64,
    /// How long the oldest of them has waited. Approximate.
    pub oldest: Duration,
    /// Workers that polled within the last five minutes, over all processes.
    pub pollers: usize,
    /// Tasks added per second, over the server's window of some 30 seconds.
    pub add_rate: f32,
    /// Tasks handed out per second, over the same window.
    pub dispatch_rate: f32,
    /// The slots of all running workers, by their last heartbeats: at most five seconds old for
    /// workers of this crate.
    pub slots: Slots,
}

/// How many tasks workers work on, and could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slots {
    /// Slots in use.
    pub used: u64,
    /// Slots in all.
    pub total: u64,
}

impl Slots {
    fn add(&mut self, info: Option<&WorkerSlotsInfo>) {
        let Some(info) = info else { return };
        let used = u64::try_from(info.current_used_slots).unwrap_or_default();
        self.used += used;
        self.total += used + u64::try_from(info.current_available_slots).unwrap_or_default();
    }
}

pub(crate) async fn take(queues: &TenantQueues, lane: &Lane) -> Result<QueueSnapshot, Error> {
    let (workflows, activities, limit, (workflow_slots, activity_slots)) = futures::try_join!(
        describe(queues, &lane.queue, TaskQueueType::Workflow),
        describe(queues, &lane.queue, TaskQueueType::Activity),
        lane.standing.limit(),
        slots(queues, &lane.queue),
    )?;
    Ok(QueueSnapshot {
        queue: lane.queue.clone(),
        suspended: limit.suspension().is_some(),
        activities_per_second: limit.rate,
        workflows: HalfSnapshot { slots: workflow_slots, ..half(&workflows) },
        activities: HalfSnapshot { slots: activity_slots, ..half(&activities) },
        waiting: lane.waits.read(),
    })
}

/// Reads one half of a queue: its statistics and its pollers.
pub(crate) async fn describe(
    queues: &TenantQueues,
    queue: &QueueName,
    half: TaskQueueType,
) -> Result<DescribeTaskQueueResponse, Error> {
    let request = DescribeTaskQueueRequest {
        namespace: queues.namespace().to_owned(),
        task_queue: Some(TaskQueue { name: queue.to_string(), ..TaskQueue::default() }),
        task_queue_type: half.into(),
        report_stats: true,
        ..DescribeTaskQueueRequest::default()
    };
    let mut service = queues.server().workflow_service();
    Ok(service.describe_task_queue(Request::new(request)).await?.into_inner())
}

fn half(answer: &DescribeTaskQueueResponse) -> HalfSnapshot {
    let stats = answer.stats.unwrap_or_default();
    HalfSnapshot {
        depth: u64::try_from(stats.approximate_backlog_count).unwrap_or_default(),
        oldest: stats
            .approximate_backlog_age
            .and_then(|age| Duration::try_from(age).ok())
            .unwrap_or_default(),
        pollers: answer.pollers.len(),
        add_rate: stats.tasks_add_rate,
        dispatch_rate: stats.tasks_dispatch_rate,
        slots: Slots::default(),
    }
}

/// Sums the slots of the workers that run on `queue`: for steps of workflows, and for activities.
async fn slots(queues: &TenantQueues, queue: &QueueName) -> Result<(Slots, Slots), Error> {
    let mut service = queues.server().workflow_service();
    let request = ListWorkersRequest {
        namespace: queues.namespace().to_owned(),
        query: format!("TaskQueue = '{queue}'"),
        ..ListWorkersRequest::default()
    };
    let workers = service.list_workers(Request::new(request)).await?.into_inner().workers;
    let (mut workflows, mut activities) = (Slots::default(), Slots::default());
    for worker in workers {
        if worker.status != i32::from(WorkerStatus::Running) {
            continue;
        }
        let request = DescribeWorkerRequest {
            namespace: queues.namespace().to_owned(),
            worker_instance_key: worker.worker_instance_key,
        };
        let worker = match service.describe_worker(Request::new(request)).await.map_err(Error::from)
        {
            Ok(answer) => answer.into_inner().worker_info,
            // It ended since it was listed.
            Err(Error::NotFound) => continue,
            Err(error) => return Err(error),
        };
        if let Some(heartbeat) = worker.and_then(|worker| worker.worker_heartbeat) {
            workflows.add(heartbeat.workflow_task_slots_info.as_ref());
            activities.add(heartbeat.activity_task_slots_info.as_ref());
        }
    }
    Ok((workflows, activities))
}
