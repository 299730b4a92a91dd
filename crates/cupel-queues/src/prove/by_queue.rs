//! Attacks on a queue whose name the attacker knows.

use std::time::{Duration, Instant};

use temporal_client::Connection;
use temporal_client::tonic::{Request, Status};
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_common::protos::temporal::api::taskqueue::v1::{RateLimit, TaskQueue};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    PollActivityTaskQueueRequest, StartWorkflowExecutionRequest, UpdateTaskQueueConfigRequest,
    update_task_queue_config_request::RateLimitUpdate,
};
use tokio::time::sleep;
use uuid::Uuid;

use super::act::{control, observed, service_control};
use super::side::{Side, Stage};
use super::{Concluded, Observed};
use crate::{Error, snapshot};

/// How long the server may take to show a poller.
const SHOWN: Duration = Duration::from_secs(10);

pub(super) async fn start(stage: &Stage<'_>) -> Concluded {
    async fn act(by: &Side, id: String, queue: String) -> Result<String, Status> {
        let request = StartWorkflowExecutionRequest {
            namespace: by.client.options().namespace.clone(),
            workflow_id: id,
            workflow_type: Some(WorkflowType { name: "cupel-canary-held".to_owned() }),
            task_queue: Some(TaskQueue { name: queue, ..TaskQueue::default() }),
            request_id: Uuid::new_v4().to_string(),
            ..StartWorkflowExecutionRequest::default()
        };
        by.service().start_workflow_execution(Request::new(request)).await?;
        Ok("puts a run on the queue".to_owned())
    }
    // Each side under an id of its own, so that nothing but the queue is foreign.
    let id = stage.attacker.id("start-there");
    let seen = observed(act(stage.attacker, id.clone(), stage.victim.queue()).await);
    let seen = match (seen, stage.truth(&id).await?) {
        (Observed::Refused(_), Some(now)) if now.queue == stage.victim.queue() => {
            Observed::reached("a run of the attacker is on the victim's queue")
        }
        (seen, _) => seen,
    };
    let id = stage.victim.id("start-here");
    Ok((seen, control(act(stage.victim, id, stage.victim.queue()).await)))
}

/// Polls for activities under a name, until the server shows the poller or the poll is answered.
pub(super) async fn poll(stage: &Stage<'_>) -> Concluded {
    let act = async |by: &Side| -> Result<Result<String, Status>, Error> {
        let identity = format!("{}/{}", by.org(), Uuid::new_v4().simple());
        let request = PollActivityTaskQueueRequest {
            namespace: by.client.options().namespace.clone(),
            task_queue: Some(TaskQueue { name: stage.victim.queue(), ..TaskQueue::default() }),
            identity: identity.clone(),
            ..PollActivityTaskQueueRequest::default()
        };
        let mut service = by.service();
        let polled = service.poll_activity_task_queue(Request::new(request));
        tokio::select! {
            answer = polled => Ok(answer.map(|_| "is answered by the queue".to_owned())),
            shown = poller_shows(stage, &identity) => Ok(shown?),
        }
    };
    let seen = observed(act(stage.attacker).await?);
    Ok((seen, control(act(stage.victim).await?)))
}

async fn poller_shows(stage: &Stage<'_>, identity: &str) -> Result<Result<String, Status>, Error> {
    let deadline = Instant::now() + SHOWN;
    while Instant::now() < deadline {
        let queue = stage.victim.scoped.queue();
        let activities = snapshot::describe(stage.queues, queue, TaskQueueType::Activity).await?;
        if activities.pollers.iter().any(|poller| poller.identity == identity) {
            return Ok(Ok("polls the queue".to_owned()));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(Err(Status::deadline_exceeded("the poller does not show")))
}

/// Attacks with the setting that stops a queue. Its rightful owner is the service: no organization
/// sets its own limits, so the control is the service's own call.
pub(super) async fn pause(stage: &Stage<'_>) -> Concluded {
    let act = async |by: &Connection| -> Result<String, Status> {
        let request = UpdateTaskQueueConfigRequest {
            namespace: stage.queues.namespace().to_owned(),
            task_queue: stage.victim.queue(),
            task_queue_type: TaskQueueType::Activity.into(),
            update_queue_rate_limit: Some(RateLimitUpdate {
                rate_limit: Some(RateLimit { requests_per_second: 0.0 }),
                reason: "attack".to_owned(),
            }),
            ..UpdateTaskQueueConfigRequest::default()
        };
        by.workflow_service().update_task_queue_config(Request::new(request)).await?;
        Ok("pauses the queue".to_owned())
    };
    let standing = &stage.victim.scoped.lane().standing;
    let before = standing.limit().await?;
    let seen = observed(act(stage.attacker.client.connection()).await);
    let seen = match seen {
        Observed::Refused(_) if standing.limit().await? != before => {
            Observed::reached("the victim's limit changed")
        }
        seen => seen,
    };
    let owned = service_control(act(stage.queues.server()).await);
    standing.restore(&before).await?;
    Ok((seen, owned))
}
