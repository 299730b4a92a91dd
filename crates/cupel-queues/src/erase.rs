use std::time::{Duration, Instant};

use cupel_tenant::{Erasure, OrgId};
use futures::StreamExt;
use temporal_client::tonic::{Code, Request};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DeleteWorkflowExecutionRequest, ListWorkflowExecutionsRequest,
    TerminateWorkflowExecutionRequest,
};
use tokio::time::sleep;

use crate::standing::FRESH;
use crate::{Error, QueueName, RunId, RunStatus, TenantQueues};

/// How long deleting may take before what is left is reported.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing must show before a queue counts as empty. Runs are indexed after the fact, and
/// another process may start runs for [`FRESH`] after a suspension.
const QUIET: Duration = FRESH.saturating_add(Duration::from_millis(500));

/// How often the list is read meanwhile.
const PACE: Duration = Duration::from_millis(250);

/// How many runs are deleted at the same time.
const AT_ONCE: usize = 16;

const PAGE: i32 = 500;

/// A run as the list shows it.
struct Row {
    id: String,
    run: String,
    status: RunStatus,
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
    let mut erasure = Erasure::none();
    let mut deleted = std::collections::HashSet::new();
    let deadline = Instant::now() + PATIENCE;
    let mut empty_since = None;
    let left = loop {
        let (foreign, rows): (Vec<Row>, Vec<Row>) =
            list(queues, org).await?.into_iter().partition(|row| row.is_foreign_to(org));
        if rows.is_empty() {
            if empty_since.get_or_insert_with(Instant::now).elapsed() >= QUIET {
                break foreign.len();
            }
        } else {
            empty_since = None;
        }
        if Instant::now() > deadline {
            break foreign.len() + rows.len();
        }
        let results: Vec<Result<String, Error>> = futures::stream::iter(rows)
            .map(|row| delete(queues, row))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for run in results {
            deleted.insert(run?);
        }
        sleep(PACE).await;
    };
    erasure.erased("runs", deleted.len().try_into().unwrap_or(u64::MAX));
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
        Some(Row { id, run, status: RunStatus::from_wire(row.status) })
    });
    Ok(rows.collect())
}

/// Ends one run if it is open, and deletes it. One that is gone already is as good.
async fn delete(queues: &TenantQueues, row: Row) -> Result<String, Error> {
    let mut service = queues.server().workflow_service();
    let execution =
        Some(WorkflowExecution { workflow_id: row.id.clone(), run_id: row.run.clone() });
    if row.status.is_open() {
        let request = TerminateWorkflowExecutionRequest {
            namespace: queues.namespace().to_owned(),
            workflow_execution: execution.clone(),
            reason: "the organization is erased".to_owned(),
            ..TerminateWorkflowExecutionRequest::default()
        };
        match service.terminate_workflow_execution(Request::new(request)).await {
            Err(status) if status.code() != Code::NotFound => return Err(status.into()),
            _ => {}
        }
    }
    let request = DeleteWorkflowExecutionRequest {
        namespace: queues.namespace().to_owned(),
        workflow_execution: execution,
    };
    match service.delete_workflow_execution(Request::new(request)).await {
        Err(status) if status.code() != Code::NotFound => Err(status.into()),
        _ => Ok(row.run),
    }
}
