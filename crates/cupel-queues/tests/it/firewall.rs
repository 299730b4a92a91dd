//! Calls that are closed to every organization, and calls that name what is not its own.

use std::error::Error;

use cupel_queues::danger;
use cupel_tenant::{OrgId, TenantScope};
use temporal_client::tonic::{Code, Request};
use temporalio_common::protos::temporal::api::common::v1::{Callback, WorkflowExecution};
use temporalio_common::protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::update::v1::Request as UpdateRequest;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CountWorkersRequest, CreateScheduleRequest, CreateWorkerDeploymentRequest,
    CreateWorkerDeploymentVersionRequest, DeleteWorkerDeploymentRequest,
    DeleteWorkerDeploymentVersionRequest, DescribeNamespaceRequest, DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest, DescribeWorkerDeploymentVersionRequest, DescribeWorkerRequest,
    FetchWorkerConfigRequest, GetWorkerBuildIdCompatibilityRequest,
    GetWorkerTaskReachabilityRequest, GetWorkerVersioningRulesRequest,
    GetWorkflowExecutionHistoryRequest, ListNamespacesRequest, ListSchedulesRequest,
    ListWorkerDeploymentsRequest, ListWorkersRequest, PollNexusTaskQueueRequest,
    RespondActivityTaskCompletedRequest, SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentManagerRequest, SetWorkerDeploymentRampingVersionRequest,
    StartActivityExecutionRequest, StartBatchOperationRequest, UpdateNamespaceRequest,
    UpdateWorkerBuildIdCompatibilityRequest, UpdateWorkerConfigRequest,
    UpdateWorkerDeploymentVersionMetadataRequest, UpdateWorkerVersioningRulesRequest,
    UpdateWorkflowExecutionOptionsRequest, UpdateWorkflowExecutionRequest,
};

use crate::server;
use crate::work::Door;

type Tested = Result<(), Box<dyn Error>>;

/// Makes each call, and wants it refused.
macro_rules! refused {
    ($service:ident; $($method:ident($request:expr);)*) => {
        $(
            let answer = $service.$method(Request::new($request)).await;
            let code = answer.err().map(|status| status.code());
            assert_eq!(code, Some(Code::PermissionDenied), stringify!($method));
        )*
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_beyond_one_organization_is_closed() -> Tested {
    let queues = server::queues().await?;
    let tenant = queues.scoped(&TenantScope::org(server::org()));
    let client = danger::client(&tenant).await?;
    let namespace = || queues.namespace().to_owned();
    let mut service = client.connection().workflow_service();
    refused! { service;
        start_batch_operation(StartBatchOperationRequest {
            namespace: namespace(),
            ..StartBatchOperationRequest::default()
        });
        create_schedule(CreateScheduleRequest {
            namespace: namespace(),
            ..CreateScheduleRequest::default()
        });
        list_schedules(ListSchedulesRequest {
            namespace: namespace(),
            ..ListSchedulesRequest::default()
        });
        start_activity_execution(StartActivityExecutionRequest {
            namespace: namespace(),
            ..StartActivityExecutionRequest::default()
        });
        update_namespace(UpdateNamespaceRequest {
            namespace: namespace(),
            ..UpdateNamespaceRequest::default()
        });
        list_namespaces(ListNamespacesRequest::default());
    }
    let mut operator = client.connection().operator_service();
    refused! { operator;
        list_search_attributes(ListSearchAttributesRequest { namespace: namespace() });
    }
    Ok(())
}

/// Makes each call with nothing in it but the namespace, and wants it refused.
macro_rules! closed {
    ($service:ident, $namespace:expr; $($method:ident($request:ident),)*) => {
        refused! { $service;
            $($method($request { namespace: $namespace, ..$request::default() });)*
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_their_versions_are_closed() -> Tested {
    let queues = server::queues().await?;
    let tenant = queues.scoped(&TenantScope::org(server::org()));
    let client = danger::client(&tenant).await?;
    let mut service = client.connection().workflow_service();
    closed! { service, queues.namespace().to_owned();
        count_workers(CountWorkersRequest),
        create_worker_deployment(CreateWorkerDeploymentRequest),
        create_worker_deployment_version(CreateWorkerDeploymentVersionRequest),
        delete_worker_deployment(DeleteWorkerDeploymentRequest),
        delete_worker_deployment_version(DeleteWorkerDeploymentVersionRequest),
        describe_worker(DescribeWorkerRequest),
        describe_worker_deployment(DescribeWorkerDeploymentRequest),
        describe_worker_deployment_version(DescribeWorkerDeploymentVersionRequest),
        fetch_worker_config(FetchWorkerConfigRequest),
        get_worker_build_id_compatibility(GetWorkerBuildIdCompatibilityRequest),
        get_worker_task_reachability(GetWorkerTaskReachabilityRequest),
        get_worker_versioning_rules(GetWorkerVersioningRulesRequest),
        list_worker_deployments(ListWorkerDeploymentsRequest),
        list_workers(ListWorkersRequest),
        // The queue over which the server sends commands to workers.
        poll_nexus_task_queue(PollNexusTaskQueueRequest),
        set_worker_deployment_current_version(SetWorkerDeploymentCurrentVersionRequest),
        set_worker_deployment_manager(SetWorkerDeploymentManagerRequest),
        set_worker_deployment_ramping_version(SetWorkerDeploymentRampingVersionRequest),
        update_worker_build_id_compatibility(UpdateWorkerBuildIdCompatibilityRequest),
        update_worker_config(UpdateWorkerConfigRequest),
        update_worker_deployment_version_metadata(UpdateWorkerDeploymentVersionMetadataRequest),
        update_worker_versioning_rules(UpdateWorkerVersioningRulesRequest),
        update_workflow_execution_options(UpdateWorkflowExecutionOptionsRequest),
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_another_organization_is_refused() -> Tested {
    let queues = server::queues().await?;
    let tenant = queues.scoped(&TenantScope::org(server::org()));
    let client = danger::client(&tenant).await?;
    let mut service = client.connection().workflow_service();
    refused! { service;
        describe_namespace(DescribeNamespaceRequest {
            namespace: "other".to_owned(),
            ..DescribeNamespaceRequest::default()
        });
        describe_task_queue(DescribeTaskQueueRequest {
            namespace: queues.namespace().to_owned(),
            task_queue: Some(TaskQueue {
                name: "cupel-hosted-globex".to_owned(),
                ..TaskQueue::default()
            }),
            ..DescribeTaskQueueRequest::default()
        });
        respond_activity_task_completed(RespondActivityTaskCompletedRequest {
            namespace: queues.namespace().to_owned(),
            // The token of a task of globex/nightly, as the server writes it: its second field.
            task_token: b"\x12\x0eglobex/nightly".to_vec(),
            ..RespondActivityTaskCompletedRequest::default()
        });
        // An update whose outcome is sent on.
        update_workflow_execution(UpdateWorkflowExecutionRequest {
            namespace: queues.namespace().to_owned(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: format!("{}/nightly", tenant.org_id()),
                ..WorkflowExecution::default()
            }),
            request: Some(UpdateRequest {
                completion_callbacks: vec![Callback::default()],
                ..UpdateRequest::default()
            }),
            ..UpdateWorkflowExecutionRequest::default()
        });
        // A page of a history that this organization was never given.
        get_workflow_execution_history(GetWorkflowExecutionHistoryRequest {
            namespace: queues.namespace().to_owned(),
            execution: Some(WorkflowExecution {
                workflow_id: format!("{}/nightly", tenant.org_id()),
                ..WorkflowExecution::default()
            }),
            next_page_token: b"another history's".to_vec(),
            ..GetWorkflowExecutionHistoryRequest::default()
        });
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_read_page_by_page_by_its_owner_only() -> Tested {
    let queues = server::queues().await?;
    let (owner, other) = (server::org(), server::org());
    let tenant = |org: &OrgId| queues.scoped(&TenantScope::org(org.clone()));
    let page = async |org: &OrgId, token: Vec<u8>| -> Result<Vec<u8>, Box<dyn Error>> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: queues.namespace().to_owned(),
            execution: Some(WorkflowExecution {
                workflow_id: format!("{org}/nightly"),
                ..WorkflowExecution::default()
            }),
            maximum_page_size: 1,
            next_page_token: token,
            ..GetWorkflowExecutionHistoryRequest::default()
        };
        let mut service = danger::client(&tenant(org)).await?.connection().workflow_service();
        let answer = service.get_workflow_execution_history(Request::new(request)).await?;
        Ok(answer.into_inner().next_page_token)
    };
    for org in [&owner, &other] {
        tenant(org).start(Door::run, "nightly", ()).await?;
    }
    let token = page(&owner, Vec::new()).await?;
    assert!(!token.is_empty());
    page(&owner, token.clone()).await?;
    assert!(page(&other, token).await.is_err(), "a page token of another organization is taken");
    Ok(())
}
