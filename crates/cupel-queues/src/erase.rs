use std::collections::HashMap;
use std::time::{Duration, Instant};

use cupel_tenant::{Erasure, OrgId};
use futures::StreamExt;
use temporal_client::tonic::{Code, Request};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DeleteWorkflowExecutionRequest, ListWorkflowExecutionsRequest,
};
use tokio::time::sleep;

use crate::standing::FRESH;
use crate::{Error, QueueName, RunId, TenantQueues};

/// How long deleting may take before what is left is reported.
///
/// A run that is open is gone at once. One that has ended is deleted once the server has noted its
/// end as processed, which it does every `history.transferProcessorUpdateAckInterval`: 30 s by
/// default.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long nothing must show before a queue counts as empty. Runs are indexed after the fact, and
/// another process may start runs for [`FRESH`] after a suspension.
const QUIET: Duration = FRESH.saturating_add(Duration::from_millis(500));

/// How often the list is read meanwhile.
const PACE: Duration = Duration::from_millis(250);

/// How long to wait before a run that still shows is deleted again.
const AGAIN: Duration = Duration::from_secs(45);

/// How many runs are deleted at the same time.
const AT_ONCE: usize = 16;

const PAGE: i32 = 500;

/// A run as the list shows it.
struct Row {
    id: String,
    run: String,
}

impl Row {
    /// Whether the id says that the run is another organization's. Such a run on this queue was not
    /// started through this crate; it is reported, and its owner's to delete.
    fn is_foreign_to(&self, org: &OrgId) -> bool {
        self.id.parse::<RunId>().is_ok_and(|id| id.org_id() != org)
    }
}

/// Ends and deletes every run of `org`. The organization is suspended already.
pub(crate) async fn runs(queues: &TenantQueues, org: &OrgId) -> Result<Erasure, Error> {
    let mut asked: HashMap<String, Instant> = HashMap::new();
    let deadline = Instant::now() + PATIENCE;
    let mut empty_since = None;
    let left = loop {
        let (foreign, rows): (Vec<Row>, Vec<Row>) =
            list(queues, org).await?.into_iter().partition(|row| row.is_foreign_to(org));
        if !rows.is_empty() {
            empty_since = None;
        } else if empty_since.get_or_insert_with(Instant::now).elapsed() >= QUIET {
            break foreign.len();
        }
        if Instant::now() > deadline {
            break foreign.len() + rows.len();
        }
        let due = rows
            .into_iter()
            .filter(|row| asked.get(&row.run).is_none_or(|when| when.elapsed() >= AGAIN));
        let deletions: Vec<_> = due.map(|row| delete(queues, row)).collect();
        let mut deletions = futures::stream::iter(deletions).buffer_unordered(AT_ONCE);
        while let Some(run) = deletions.next().await {
            asked.insert(run?, Instant::now());
        }
        sleep(PACE).await;
    };
    let mut erasure = Erasure::none();
    erasure.erased("runs", asked.len().saturating_sub(left).try_into().unwrap_or(u64::MAX));
    erasure.left("runs", left.try_into().unwrap_or(u64::MAX));
    Ok(erasure)
}

/// Lists the first page of runs that are on the organization's queue or under its ids.
async fn list(queues: &TenantQueues, org: &OrgId) -> Result<Vec<Row>, Error> {
    let request = ListWorkflowExecutionsRequest {
        namespace: queues.namespace().to_owned(),
        page_size: PAGE,
        query: format!("TaskQueue = '{}' OR WorkflowId STARTS_WITH '{org}/'", QueueName::of(org)),
        ..ListWorkflowExecutionsRequest::default()
    };
    let mut service = queues.server().workflow_service();
    let answer = service.list_workflow_executions(Request::new(request)).await?.into_inner();
    let rows = answer.executions.into_iter().filter_map(|row| {
        let WorkflowExecution { workflow_id: id, run_id: run } = row.execution?;
        Some(Row { id, run })
    });
    Ok(rows.collect())
}

/// Has the server delete one run, and returns which. A run that is open is terminated by that; one
/// that is gone already is as good.
async fn delete(queues: &TenantQueues, row: Row) -> Result<String, Error> {
    let request = DeleteWorkflowExecutionRequest {
        namespace: queues.namespace().to_owned(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: row.id,
            run_id: row.run.clone(),
        }),
    };
    let mut service = queues.server().workflow_service();
    match service.delete_workflow_execution(Request::new(request)).await {
        Err(status) if status.code() != Code::NotFound => Err(status.into()),
        _ => Ok(row.run),
    }
}
