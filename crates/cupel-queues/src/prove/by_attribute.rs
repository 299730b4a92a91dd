//! Attacks with search attributes that are the server's own.

use temporal_client::Connection;
use temporal_client::tonic::{Request, Status};
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;
use temporalio_common::search_attributes::{SearchAttributeKey, SearchAttributes};
use uuid::Uuid;

use super::act::{observed, service_control};
use super::side::Stage;
use super::{Concluded, Observed};

/// What keeps a run out of every list that does not ask for its division.
const DIVISION: SearchAttributeKey<String> =
    SearchAttributeKey::keyword("TemporalNamespaceDivision");

/// Attacks with a run that the service does not find where it looks for runs to count and to erase.
/// Divisions are the service's, so the control is its own call.
pub(super) async fn hide(stage: &Stage<'_>) -> Concluded {
    let act = async |by: &Connection, id: &str, queue: String| {
        let division = DIVISION
            .try_value_set("cupel-canary".to_owned())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let request = StartWorkflowExecutionRequest {
            namespace: stage.queues.namespace().to_owned(),
            workflow_id: id.to_owned(),
            workflow_type: Some(WorkflowType { name: "cupel-canary-held".to_owned() }),
            task_queue: Some(TaskQueue { name: queue, ..TaskQueue::default() }),
            request_id: Uuid::new_v4().to_string(),
            search_attributes: Some(SearchAttributes::new([division]).into_proto()),
            ..StartWorkflowExecutionRequest::default()
        };
        by.workflow_service().start_workflow_execution(Request::new(request)).await?;
        Ok("starts a run that no list shows".to_owned())
    };
    let (attacker, victim) = (stage.attacker, stage.victim);
    let id = attacker.id("hidden");
    let seen = observed(act(attacker.client.connection(), &id, attacker.queue()).await);
    let seen = match seen {
        Observed::Refused(_) if stage.truth(&id).await?.is_some() => {
            Observed::reached("the attacker has a run that no list shows")
        }
        seen => seen,
    };
    let shown = victim.id("hidden");
    let owned = act(stage.queues.server(), &shown, victim.queue()).await;
    // Nobody else would find them.
    stage.remove(&id).await?;
    stage.remove(&shown).await?;
    Ok((seen, service_control(owned)))
}
