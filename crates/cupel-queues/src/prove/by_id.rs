//! Attacks on a run whose id the attacker knows.

use temporal_client::tonic::{Request, Status};
use temporalio_common::protos::temporal::api::common::v1::{WorkflowExecution, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::WorkflowIdConflictPolicy;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkflowExecutionRequest, GetWorkflowExecutionHistoryRequest,
    RequestCancelWorkflowExecutionRequest, SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest, TerminateWorkflowExecutionRequest,
};
use uuid::Uuid;

use super::act::{control, observed};
use super::side::{Side, Stage};
use super::{Concluded, Observed};

fn run(id: &str) -> Option<WorkflowExecution> {
    Some(WorkflowExecution { workflow_id: id.to_owned(), ..WorkflowExecution::default() })
}

/// A refusal counts only if the victim's run goes on as before.
async fn unless_changed(
    stage: &Stage<'_>,
    id: &str,
    before: &str,
    seen: Observed,
) -> Result<Observed, crate::Error> {
    Ok(match (seen, stage.truth(id).await?) {
        (Observed::Refused(_), None) => Observed::reached("the victim's run is gone"),
        (Observed::Refused(_), Some(now)) if now.run != before || !now.status.is_open() => {
            Observed::reached(format!("the victim's run is {}", now.status))
        }
        (seen, _) => seen,
    })
}

/// The shape of most attacks here: the same act on the same open run, first by the attacker.
macro_rules! on_a_held_run {
    ($stage:ident, $name:literal, $act:ident) => {{
        let id = $stage.victim.hold($name).await?.to_string();
        let before = $stage.truth(&id).await?.map(|truth| truth.run).unwrap_or_default();
        let seen = observed($act($stage.attacker, &id).await);
        let seen = unless_changed($stage, &id, &before, seen).await?;
        Ok((seen, control($act($stage.victim, &id).await)))
    }};
}

pub(super) async fn take_over(stage: &Stage<'_>) -> Concluded {
    async fn act(by: &Side, id: &str) -> Result<String, Status> {
        let request = StartWorkflowExecutionRequest {
            namespace: by.client.options().namespace.clone(),
            workflow_id: id.to_owned(),
            workflow_type: Some(WorkflowType { name: "cupel-canary-held".to_owned() }),
            task_queue: Some(TaskQueue { name: by.queue(), ..TaskQueue::default() }),
            request_id: Uuid::new_v4().to_string(),
            workflow_id_conflict_policy: WorkflowIdConflictPolicy::TerminateExisting.into(),
            ..StartWorkflowExecutionRequest::default()
        };
        by.service().start_workflow_execution(Request::new(request)).await?;
        Ok("starts a new run under the id".to_owned())
    }
    on_a_held_run!(stage, "take-over", act)
}

pub(super) async fn terminate(stage: &Stage<'_>) -> Concluded {
    async fn act(by: &Side, id: &str) -> Result<String, Status> {
        let request = TerminateWorkflowExecutionRequest {
            namespace: by.client.options().namespace.clone(),
            workflow_execution: run(id),
            ..TerminateWorkflowExecutionRequest::default()
        };
        by.service().terminate_workflow_execution(Request::new(request)).await?;
        Ok("terminates the run".to_owned())
    }
    on_a_held_run!(stage, "terminate", act)
}

pub(super) async fn cancel(stage: &Stage<'_>) -> Concluded {
    async fn act(by: &Side, id: &str) -> Result<String, Status> {
        let request = RequestCancelWorkflowExecutionRequest {
            namespace: by.client.options().namespace.clone(),
            workflow_execution: run(id),
            request_id: Uuid::new_v4().to_string(),
            ..RequestCancelWorkflowExecutionRequest::default()
        };
        by.service().request_cancel_workflow_execution(Request::new(request)).await?;
        Ok("asks the run to end".to_owned())
    }
    on_a_held_run!(stage, "cancel", act)
}

pub(super) async fn signal(stage: &Stage<'_>) -> Concluded {
    async fn act(by: &Side, id: &str) -> Result<String, Status> {
        // Not the signal that releases the run: the owner is to find it open.
        let request = SignalWorkflowExecutionRequest {
            namespace: by.client.options().namespace.clone(),
            workflow_execution: run(id),
            signal_name: "knock".to_owned(),
            request_id: Uuid::new_v4().to_string(),
            ..SignalWorkflowExecutionRequest::default()
        };
        by.service().signal_workflow_execution(Request::new(request)).await?;
        Ok("signals the run".to_owned())
    }
    on_a_held_run!(stage, "signal", act)
}

async fn describe_run(by: &Side, id: &str) -> Result<String, Status> {
    let request = DescribeWorkflowExecutionRequest {
        namespace: by.client.options().namespace.clone(),
        execution: run(id),
    };
    let answer = by.service().describe_workflow_execution(Request::new(request)).await?;
    let info = answer.into_inner().workflow_execution_info.unwrap_or_default();
    Ok(format!("sees a {}", info.r#type.unwrap_or_default().name))
}

pub(super) async fn describe(stage: &Stage<'_>) -> Concluded {
    on_a_held_run!(stage, "describe", describe_run)
}

pub(super) async fn history(stage: &Stage<'_>) -> Concluded {
    let secret = stage.victim.secret();
    let act = async |by: &Side, id: &str| -> Result<String, Status> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: by.client.options().namespace.clone(),
            execution: run(id),
            ..GetWorkflowExecutionHistoryRequest::default()
        };
        let answer = by.service().get_workflow_execution_history(Request::new(request)).await?;
        let events = answer.into_inner().history.unwrap_or_default().events;
        let inputs = events.iter().filter_map(|event| match event.attributes.as_ref()? {
            Attributes::WorkflowExecutionStartedEventAttributes(started) => started.input.as_ref(),
            _ => None,
        });
        let mut payloads = inputs.flat_map(|input| &input.payloads);
        let held = payloads.any(|payload| {
            payload.data.windows(secret.len()).any(|window| window == secret.as_bytes())
        });
        if held { Ok("reads the input".to_owned()) } else { Err(Status::not_found("no input")) }
    };
    let id = stage.victim.hold("history").await?.to_string();
    let seen = observed(act(stage.attacker, &id).await);
    Ok((seen, control(act(stage.victim, &id).await)))
}

/// Attacks with an id that starts as the attacker's and would climb into the victim's.
pub(super) async fn climb(stage: &Stage<'_>) -> Concluded {
    let id = stage.victim.hold("climb").await?.to_string();
    let climbing = format!("{}/../{id}", stage.attacker.org());
    let seen = observed(describe_run(stage.attacker, &climbing).await);
    Ok((seen, control(describe_run(stage.victim, &id).await)))
}
