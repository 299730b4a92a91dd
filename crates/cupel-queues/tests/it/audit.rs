//! What audit finds on a live queue.

use std::error::Error;

use cupel_queues::danger;
use cupel_tenant::{IsolationLayer, OrgId, TenantScope};
use temporal_client::Connection;
use temporal_client::tonic::Request;
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_common::protos::temporal::api::taskqueue::v1::{RateLimit, TaskQueue};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    PollActivityTaskQueueRequest, UpdateTaskQueueConfigRequest,
    update_task_queue_config_request::RateLimitUpdate,
};

use crate::server;
use crate::work::Door;

type Tested = Result<(), Box<dyn Error>>;

async fn rules(
    layer: &impl IsolationLayer,
    org: &OrgId,
) -> Result<Vec<&'static str>, Box<dyn Error>> {
    Ok(layer.audit(org).await?.iter().map(|finding| finding.rule).collect())
}

/// Somebody with the namespace's credentials, and without a firewall.
async fn somebody() -> Result<Connection, Box<dyn Error>> {
    let bare = danger::without_firewall(&server::queues().await?);
    let tenant = bare.scoped(&TenantScope::org(server::org()));
    Ok(danger::client(&tenant).await?.connection().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_set_by_somebody_else_is_found() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    assert!(rules(&queues, &org).await?.is_empty());
    let somebody = somebody().await?;
    let set = async |rate: f32, reason: &str| {
        let request = UpdateTaskQueueConfigRequest {
            namespace: queues.namespace().to_owned(),
            identity: "somebody".to_owned(),
            task_queue: format!("cupel-hosted-{org}"),
            task_queue_type: TaskQueueType::Activity.into(),
            update_queue_rate_limit: Some(RateLimitUpdate {
                rate_limit: Some(RateLimit { requests_per_second: rate }),
                reason: reason.to_owned(),
            }),
            ..UpdateTaskQueueConfigRequest::default()
        };
        somebody.workflow_service().update_task_queue_config(Request::new(request)).await
    };
    // The server hands a limit on to the queue's partitions after it has answered.
    let finds = async |expected: &[&str]| {
        server::eventually("the audit finds what was set", async || {
            Ok(rules(&queues, &org).await? == expected)
        })
        .await
    };
    set(0.0, "maintenance").await?;
    finds(&["Q2"]).await?;

    queues.suspend(&org).await?;
    finds(&[]).await?;
    set(100.0, "cupel: suspended; before: unlimited").await?;
    finds(&["Q1"]).await?;
    // Suspending again mends it.
    queues.suspend(&org).await?;
    finds(&[]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_not_the_organizations_is_found() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let worker =
        queues.worker(&org, queues.limits(), |work| work.register_workflow::<Door>()).await?;
    assert!(rules(&queues, &org).await?.is_empty());
    let request = PollActivityTaskQueueRequest {
        namespace: queues.namespace().to_owned(),
        task_queue: Some(TaskQueue { name: format!("cupel-hosted-{org}"), ..TaskQueue::default() }),
        identity: "17@elsewhere".to_owned(),
        ..PollActivityTaskQueueRequest::default()
    };
    let mut service = somebody().await?.workflow_service();
    let found = server::eventually("the poller is found", async || {
        Ok(rules(&queues, &org).await? == ["Q3"])
    });
    tokio::select! {
        answer = service.poll_activity_task_queue(Request::new(request)) => {
            return Err(format!("the poll ended: {answer:?}").into());
        }
        found = found => found?,
    }
    worker.stop().await?;
    Ok(())
}
