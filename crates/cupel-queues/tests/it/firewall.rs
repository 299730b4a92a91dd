//! Calls that are closed to every organization, and calls that name what is not its own.

use std::error::Error;

use cupel_queues::danger;
use cupel_tenant::{OrgId, TenantScope};
use temporal_client::tonic::{Code, Request};
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::operatorservice::v1::ListSearchAttributesRequest;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    CreateScheduleRequest, DescribeNamespaceRequest, DescribeTaskQueueRequest,
    GetWorkflowExecutionHistoryRequest, ListNamespacesRequest, ListSchedulesRequest,
    ListWorkersRequest, RespondActivityTaskCompletedRequest, StartActivityExecutionRequest,
    StartBatchOperationRequest, UpdateNamespaceRequest,
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
        list_workers(ListWorkersRequest {
            namespace: namespace(),
            ..ListWorkersRequest::default()
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
