//! Workers, as the server knows them: by instance keys and deployments that all of a namespace share.

use std::error::Error;
use std::time::Duration;

use cupel_queues::{QueueName, TenantQueues, danger};
use cupel_tenant::{OrgId, TenantScope};
use temporal_client::Client;
use temporal_client::tonic::{Code, Request, Status};
use temporalio_common::protos::temporal::api::deployment::v1::WorkerDeploymentOptions;
use temporalio_common::protos::temporal::api::enums::v1::{TaskQueueType, WorkerVersioningMode};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeTaskQueueRequest, DescribeWorkerDeploymentRequest,
    PollActivityTaskQueueRequest, PollActivityTaskQueueResponse, ShutdownWorkerRequest,
};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::server;

type Tested = Result<(), Box<dyn Error>>;

/// The raw client of an organization.
async fn client(queues: &TenantQueues, org: &OrgId) -> Result<Client, Box<dyn Error>> {
    Ok(danger::client(&queues.scoped(&TenantScope::org(org.clone()))).await?)
}

fn queue(org: &OrgId) -> Option<TaskQueue> {
    Some(TaskQueue { name: QueueName::of(org).to_string(), ..TaskQueue::default() })
}

async fn poll(
    client: Client,
    request: PollActivityTaskQueueRequest,
) -> Result<PollActivityTaskQueueResponse, Status> {
    let namespace = client.options().namespace.clone();
    let request = PollActivityTaskQueueRequest { namespace, ..request };
    let mut service = client.connection().workflow_service();
    Ok(service.poll_activity_task_queue(Request::new(request)).await?.into_inner())
}

/// Polls the organization's own queue as the worker with this key, until told otherwise. Returns once
/// the server shows the poll.
async fn polling(
    queues: &TenantQueues,
    org: &OrgId,
    key: &str,
) -> Result<JoinHandle<Result<PollActivityTaskQueueResponse, Status>>, Box<dyn Error>> {
    let client = client(queues, org).await?;
    let identity = format!("{org}/{key}");
    let request = PollActivityTaskQueueRequest {
        task_queue: queue(org),
        identity: identity.clone(),
        worker_instance_key: key.to_owned(),
        ..PollActivityTaskQueueRequest::default()
    };
    let polling = tokio::spawn(poll(client.clone(), request));
    server::eventually("the poll is there", async || {
        let request = DescribeTaskQueueRequest {
            namespace: client.options().namespace.clone(),
            task_queue: queue(org),
            task_queue_type: TaskQueueType::Activity.into(),
            ..DescribeTaskQueueRequest::default()
        };
        let mut service = client.connection().workflow_service();
        let shown = service.describe_task_queue(Request::new(request)).await?.into_inner();
        Ok(shown.pollers.iter().any(|poller| poller.identity == identity))
    })
    .await?;
    Ok(polling)
}

/// Says that the worker with this key has ended, on the organization's own queue.
async fn shut_down(queues: &TenantQueues, org: &OrgId, key: &str) -> Result<Code, Box<dyn Error>> {
    let client = client(queues, org).await?;
    let request = ShutdownWorkerRequest {
        namespace: client.options().namespace.clone(),
        identity: format!("{org}/{key}"),
        task_queue: QueueName::of(org).to_string(),
        task_queue_types: vec![TaskQueueType::Activity.into()],
        worker_instance_key: key.to_owned(),
        ..ShutdownWorkerRequest::default()
    };
    let answer =
        client.connection().workflow_service().shutdown_worker(Request::new(request)).await;
    Ok(answer.map_or_else(|status| status.code(), |_| Code::Ok))
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_are_ended_by_their_own_organization_only() -> Tested {
    let queues = server::queues().await?;
    let open = danger::without_firewall(&queues);
    let (owner, other) = (server::org(), server::org());
    let key = Uuid::new_v4().to_string();

    let mut polls = polling(&queues, &owner, &key).await?;
    let as_the_server_knows_it = format!("{owner}/{key}");
    assert_eq!(shut_down(&queues, &other, &as_the_server_knows_it).await?, Code::PermissionDenied);
    assert_eq!(shut_down(&queues, &other, &key).await?, Code::Ok);
    let ended = timeout(Duration::from_secs(1), &mut polls).await;
    assert!(ended.is_err(), "another organization ended the poll: {ended:?}");
    assert_eq!(shut_down(&queues, &owner, &key).await?, Code::Ok);
    assert!(timeout(Duration::from_secs(20), polls).await??.is_ok());

    // Without the firewall nothing holds: the server asks for the key alone.
    let polls = polling(&open, &owner, &key).await?;
    assert_eq!(shut_down(&open, &other, &key).await?, Code::Ok);
    assert!(timeout(Duration::from_secs(20), polls).await??.is_ok());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_joined_without_the_firewall_only() -> Tested {
    let queues = server::queues().await?;
    let open = danger::without_firewall(&queues);
    let org = server::org();
    let deployment_name = format!("deployment-{}", Uuid::new_v4().simple());
    let request = PollActivityTaskQueueRequest {
        task_queue: queue(&org),
        deployment_options: Some(WorkerDeploymentOptions {
            deployment_name: deployment_name.clone(),
            build_id: "1".to_owned(),
            worker_versioning_mode: WorkerVersioningMode::Versioned.into(),
        }),
        ..PollActivityTaskQueueRequest::default()
    };
    let refused = poll(client(&queues, &org).await?, request.clone()).await;
    assert_eq!(refused.map_err(|status| status.code()), Err(Code::PermissionDenied));

    let open = client(&open, &org).await?;
    let exists = async || {
        let request = DescribeWorkerDeploymentRequest {
            namespace: queues.namespace().to_owned(),
            deployment_name: deployment_name.clone(),
        };
        let mut service = open.connection().workflow_service();
        match service.describe_worker_deployment(Request::new(request)).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(status.into()),
        }
    };
    assert!(!exists().await?, "a refused poll made the deployment");
    tokio::select! {
        answer = poll(open.clone(), request) => Err(format!("answered: {answer:?}").into()),
        exists = server::eventually("the deployment is there", exists) => exists,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_names_no_queue_for_commands_to_it() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let client = client(&queues, &org).await?;
    let request = PollActivityTaskQueueRequest {
        task_queue: queue(&org),
        worker_control_task_queue: "temporal-sys/worker-commands/default/globex".to_owned(),
        ..PollActivityTaskQueueRequest::default()
    };
    let refused = poll(client.clone(), request).await;
    assert_eq!(refused.map_err(|status| status.code()), Err(Code::PermissionDenied));

    let namespace = queues.namespace().to_owned();
    let request = DescribeNamespaceRequest { namespace, ..DescribeNamespaceRequest::default() };
    let mut service = client.connection().workflow_service();
    let answer = service.describe_namespace(Request::new(request)).await?.into_inner();
    let can = answer.namespace_info.and_then(|info| info.capabilities).ok_or("no capabilities")?;
    assert!(can.worker_heartbeats && !can.worker_commands, "{can:?}");
    Ok(())
}
