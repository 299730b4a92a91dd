//! Attacks through the list of runs.

use std::time::{Duration, Instant};

use temporal_client::tonic::{Request, Status};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CountWorkflowExecutionsRequest, ListWorkflowExecutionsRequest,
};
use tokio::time::sleep;

use super::Concluded;
use super::act::{control, observed};
use super::side::{Side, Stage};
use crate::RunId;

/// How long the server may take to index a run.
const INDEXED: Duration = Duration::from_secs(15);

/// Repeats `act` until it finds something, for as long as indexing may take.
async fn once_indexed<F: Future<Output = Result<u64, Status>>>(
    act: impl Fn() -> F,
) -> Result<u64, Status> {
    let deadline = Instant::now() + INDEXED;
    loop {
        match act().await? {
            0 if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
            found => return Ok(found),
        }
    }
}

/// Lists by `query`, and counts the rows that are `whose`.
async fn rows(by: &Side, whose: &Side, query: String) -> Result<u64, Status> {
    let request = ListWorkflowExecutionsRequest {
        namespace: by.client.options().namespace.clone(),
        page_size: 1000,
        query,
        ..ListWorkflowExecutionsRequest::default()
    };
    let answer = by.service().list_workflow_executions(Request::new(request)).await?;
    let rows = answer.into_inner().executions.into_iter().filter(|row| {
        let id = row.execution.as_ref().and_then(|run| run.workflow_id.parse::<RunId>().ok());
        id.is_some_and(|id| id.org_id() == whose.org())
    });
    Ok(rows.count().try_into().unwrap_or(u64::MAX))
}

/// Reads rows of nothing as a refusal: there is nothing to see.
fn some(found: u64, what: String) -> Result<String, Status> {
    if found == 0 { Err(Status::not_found("no rows")) } else { Ok(what) }
}

pub(super) async fn list(stage: &Stage<'_>) -> Concluded {
    let victim = stage.victim;
    victim.hold("list").await?;
    // The owner first: once it sees its run, so could an attacker who got through.
    let own = || rows(victim, victim, format!("TaskQueue = '{}'", victim.queue()));
    let owned = once_indexed(own).await.and_then(|n| some(n, format!("lists {n} runs")));
    let queue = stage.attacker.queue();
    let injected = format!("TaskQueue = '{queue}' OR TaskQueue != '{queue}'");
    let stolen = rows(stage.attacker, victim, injected).await;
    let stolen = stolen.and_then(|n| some(n, format!("lists {n} runs of the victim")));
    Ok((observed(stolen), control(owned)))
}

pub(super) async fn count(stage: &Stage<'_>) -> Concluded {
    async fn counted(by: &Side, query: String) -> Result<u64, Status> {
        let namespace = by.client.options().namespace.clone();
        let request = CountWorkflowExecutionsRequest { namespace, query };
        let answer = by.service().count_workflow_executions(Request::new(request)).await?;
        Ok(u64::try_from(answer.into_inner().count).unwrap_or_default())
    }
    let victim = stage.victim;
    victim.hold("count").await?;
    let own = || counted(victim, format!("TaskQueue = '{}'", victim.queue()));
    let owned = once_indexed(own).await.and_then(|n| some(n, format!("counts {n} runs")));
    let stolen =
        counted(stage.attacker, format!("TaskQueue != '{}'", stage.attacker.queue())).await;
    let stolen = stolen.and_then(|n| some(n, format!("counts {n} runs of others")));
    Ok((observed(stolen), control(owned)))
}
