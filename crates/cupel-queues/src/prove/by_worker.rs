//! Attacks on workers, which the server keeps by their instance keys.

use std::time::{Duration, Instant};

use temporal_client::Connection;
use temporal_client::tonic::{Request, Status};
use temporalio_common::protos::temporal::api::enums::v1::WorkerStatus;
use temporalio_common::protos::temporal::api::worker::v1::{WorkerHeartbeat, WorkerListInfo};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    ListWorkersRequest, RecordWorkerHeartbeatRequest,
};
use tokio::time::sleep;
use uuid::Uuid;

use super::act::{control, observed, service_control};
use super::side::{Side, Stage};
use super::{Concluded, Control, Observed};
use crate::Error;

/// How long a worker may take to report for the first time.
const REPORTED: Duration = Duration::from_secs(10);

/// Lists the workers of the victim's queue.
async fn workers(stage: &Stage<'_>, by: &Connection) -> Result<Vec<WorkerListInfo>, Status> {
    let request = ListWorkersRequest {
        namespace: stage.queues.namespace().to_owned(),
        query: format!("TaskQueue = '{}'", stage.victim.queue()),
        ..ListWorkersRequest::default()
    };
    Ok(by.workflow_service().list_workers(Request::new(request)).await?.into_inner().workers)
}

/// Attacks with the list of workers, which tells their hosts and their load. No organization is shown
/// even its own, so the control is the service's own call.
pub(super) async fn list(stage: &Stage<'_>) -> Concluded {
    let act = async |by: &Connection| match workers(stage, by).await?.first() {
        Some(worker) => Ok(format!("sees a worker on host {}", worker.host_name)),
        None => Err(Status::not_found("no worker")),
    };
    // The service first: once it sees the worker, so could an attacker who got through.
    let deadline = Instant::now() + REPORTED;
    let owned = loop {
        match act(stage.queues.server()).await {
            Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(100)).await,
            answer => break answer,
        }
    };
    let seen = observed(act(stage.attacker.client.connection()).await);
    Ok((seen, service_control(owned)))
}

/// Reports on the worker with this key as one of `by`'s, and returns how the report is signed.
async fn report_on(key: &str, by: &Side) -> Result<String, Status> {
    let signature = format!("{}/{}", by.org(), Uuid::new_v4().simple());
    let report = WorkerHeartbeat {
        worker_instance_key: key.to_owned(),
        worker_identity: signature.clone(),
        task_queue: by.queue(),
        // Whoever counts slots leaves it out.
        status: WorkerStatus::ShuttingDown.into(),
        ..WorkerHeartbeat::default()
    };
    let request = RecordWorkerHeartbeatRequest {
        namespace: by.client.options().namespace.clone(),
        worker_heartbeat: vec![report],
        ..RecordWorkerHeartbeatRequest::default()
    };
    by.service().record_worker_heartbeat(Request::new(request)).await?;
    Ok(signature)
}

/// Attacks with a report that replaces what the server knows of a worker: what it does, and where.
pub(super) async fn report(stage: &Stage<'_>) -> Concluded {
    let known_by = async |signature: &str| -> Result<Option<String>, Error> {
        let workers = workers(stage, stage.queues.server()).await?;
        let mut known = workers.into_iter().filter(|worker| worker.worker_identity == signature);
        Ok(known.next().map(|worker| worker.worker_instance_key))
    };
    // A worker that does not run, so that no report of its own comes between.
    let key = Uuid::new_v4().to_string();
    let signature = match report_on(&key, stage.victim).await {
        Ok(signature) => signature,
        Err(status) => return Ok((Observed::unclear("not tried"), control(Err(status)))),
    };
    let Some(known) = known_by(&signature).await? else {
        let control = Control::failed("the server does not show the owner's report");
        return Ok((Observed::unclear("not tried"), control));
    };
    // With the key as the server tells it, and with the one that the worker made up.
    let as_told = report_on(&known, stage.attacker).await;
    let as_made_up = report_on(&key, stage.attacker).await;
    let seen = match (known_by(&signature).await?, as_told, as_made_up) {
        (None, _, _) => Observed::reached("the attacker's report replaces the victim's"),
        (Some(_), Err(status), _) | (Some(_), _, Err(status)) => observed(Err(status)),
        (Some(_), Ok(_), Ok(_)) => {
            Observed::refused("refused: the reports became the attacker's own")
        }
    };
    Ok((seen, Control::held("owner reports on its worker")))
}
