//! Calls that are closed to every organization, and calls that name what is not its own.

use std::error::Error;

use cupel_queues::danger;
use cupel_tenant::TenantScope;
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
