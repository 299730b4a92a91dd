//! Search attributes and versions that are Temporal's own, at the start of a run and in its code.

use std::error::Error;

use cupel_queues::{Error as QueuesError, QueueName, TenantQueues, WorkerHandle, danger};
use cupel_tenant::{OrgId, TenantScope};
use serde::{Deserialize, Serialize};
use temporal_client::tonic::{Code, Request};
use temporal_client::{WorkflowDescribeOptions, WorkflowStartOptions};
use temporalio_common::UntypedWorkflow;
use temporalio_common::protos::temporal::api::common::v1::{
    SearchAttributes as Indexed, WorkflowExecution, WorkflowType,
};
use temporalio_common::protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::post_reset_operation::{
    UpdateWorkflowOptions, Variant,
};
use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::{
    Override, PinnedOverride, PinnedOverrideBehavior,
};
use temporalio_common::protos::temporal::api::workflow::v1::{
    PostResetOperation, VersioningOverride, WorkflowExecutionOptions,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    ResetWorkflowExecutionRequest, SignalWithStartWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
};
use temporalio_common::search_attributes::{SearchAttributeKey, SearchAttributes};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{ContinueAsNewOptions, WorkflowContext, WorkflowResult};
use uuid::Uuid;

use crate::server;

type Tested = Result<(), Box<dyn Error>>;

const DIVISION: SearchAttributeKey<String> =
    SearchAttributeKey::keyword("TemporalNamespaceDivision");
const SCHEDULE: SearchAttributeKey<String> = SearchAttributeKey::keyword("TemporalScheduledById");

/// What a run is to do with an attribute of Temporal's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Go on as a new run, and note a patch in that.
    Continue,
    /// Leave the lists.
    Hide,
    /// Note that the code was patched.
    Patch,
}

#[workflow]
#[derive(Default)]
pub(crate) struct Acts;

#[workflow_methods]
impl Acts {
    #[run]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, act: Act) -> WorkflowResult<bool> {
        match act {
            Act::Continue => {
                ctx.continue_as_new(Act::Patch, ContinueAsNewOptions::default())?;
                Ok(false)
            }
            Act::Hide => {
                ctx.upsert_search_attributes([DIVISION.value_set("hidden".to_owned())]);
                Ok(false)
            }
            Act::Patch => Ok(ctx.patched("a-patch")),
        }
    }
}

fn pinned() -> Option<VersioningOverride> {
    let version =
        WorkerDeploymentVersion { deployment_name: "globex".to_owned(), build_id: "1".to_owned() };
    Some(VersioningOverride {
        r#override: Some(Override::Pinned(PinnedOverride {
            behavior: PinnedOverrideBehavior::Pinned.into(),
            version: Some(version),
        })),
        ..VersioningOverride::default()
    })
}

fn hidden() -> Option<Indexed> {
    Some(SearchAttributes::new([DIVISION.value_set("hidden".to_owned())]).into_proto())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_temporal_reserves_is_refused_at_the_start() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let client = danger::client(&queues.scoped(&TenantScope::org(org.clone()))).await?;
    let mut service = client.connection().workflow_service();
    let mut start = async |name: &str, attributes, versioning| {
        let request = StartWorkflowExecutionRequest {
            namespace: queues.namespace().to_owned(),
            workflow_id: format!("{org}/{name}"),
            workflow_type: Some(WorkflowType { name: "Acts".to_owned() }),
            task_queue: Some(TaskQueue {
                name: QueueName::of(&org).to_string(),
                ..TaskQueue::default()
            }),
            request_id: Uuid::new_v4().to_string(),
            search_attributes: attributes,
            versioning_override: versioning,
            ..StartWorkflowExecutionRequest::default()
        };
        let with_signal = SignalWithStartWorkflowExecutionRequest {
            namespace: request.namespace.clone(),
            workflow_id: format!("{org}/{name}-signalled"),
            workflow_type: request.workflow_type.clone(),
            task_queue: request.task_queue.clone(),
            request_id: Uuid::new_v4().to_string(),
            signal_name: "begin".to_owned(),
            search_attributes: request.search_attributes.clone(),
            versioning_override: request.versioning_override.clone(),
            ..SignalWithStartWorkflowExecutionRequest::default()
        };
        let started = service.start_workflow_execution(Request::new(request)).await;
        let signalled =
            service.signal_with_start_workflow_execution(Request::new(with_signal)).await;
        [started.map(drop), signalled.map(drop)]
            .map(|answer| answer.map_or_else(|status| status.code(), |()| Code::Ok))
    };
    assert_eq!(start("plain", None, None).await, [Code::Ok; 2]);
    assert_eq!(start("hidden", hidden(), None).await, [Code::PermissionDenied; 2]);
    assert_eq!(start("pinned", None, pinned()).await, [Code::PermissionDenied; 2]);

    let options = WorkflowExecutionOptions { versioning_override: pinned(), ..Default::default() };
    let update = UpdateWorkflowOptions {
        workflow_execution_options: Some(options),
        ..UpdateWorkflowOptions::default()
    };
    let reset = ResetWorkflowExecutionRequest {
        namespace: queues.namespace().to_owned(),
        workflow_execution: Some(WorkflowExecution {
            workflow_id: format!("{org}/plain"),
            ..WorkflowExecution::default()
        }),
        post_reset_operations: vec![PostResetOperation {
            variant: Some(Variant::UpdateWorkflowOptions(update)),
        }],
        ..ResetWorkflowExecutionRequest::default()
    };
    let mut service = client.connection().workflow_service();
    let refused = service.reset_workflow_execution(Request::new(reset)).await;
    assert_eq!(refused.err().map(|status| status.code()), Some(Code::PermissionDenied));
    Ok(())
}

async fn worker(queues: &TenantQueues, org: &OrgId) -> Result<WorkerHandle, QueuesError> {
    queues.worker(org, queues.limits(), |work| work.register_workflow::<Acts>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn code_leaves_the_lists_without_the_firewall_only() -> Tested {
    let guarded = server::queues().await?;
    let open = danger::without_firewall(&guarded);
    for (queues, hides) in [(&guarded, false), (&open, true)] {
        let org = server::org();
        let worker = worker(queues, &org).await?;
        let tenant = queues.scoped(&TenantScope::org(org));
        let hidden = tenant.start(Acts::run, "acts", Act::Hide).await?.result().await;
        match hidden {
            Ok(_) => assert!(hides, "code hid its run"),
            Err(QueuesError::RunFailed { .. }) => assert!(!hides, "the run was failed"),
            Err(error) => return Err(error.into()),
        }
        worker.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_schedule_started_goes_on_and_notes_its_patches() -> Tested {
    let queues = server::queues().await?;
    let org = server::org();
    let worker = worker(&queues, &org).await?;
    // As the service's schedule would start it, in the service's name.
    let service = danger::without_firewall(&queues);
    let client = danger::client(&service.scoped(&TenantScope::org(org.clone()))).await?;
    let scheduled = SearchAttributes::new([SCHEDULE.value_set("nightly".to_owned())]);
    let options = WorkflowStartOptions::new(QueueName::of(&org).to_string(), format!("{org}/acts"))
        .search_attributes(scheduled)
        .build();
    client.start_workflow(Acts::run, Act::Continue, options).await?;

    let tenant = queues.scoped(&TenantScope::org(org.clone()));
    assert!(tenant.run(Acts::run, "acts")?.result().await?, "the code is not patched");
    let client = danger::client(&tenant).await?;
    let last = client.get_workflow_handle::<UntypedWorkflow>(format!("{org}/acts"));
    let last = last.describe(WorkflowDescribeOptions::default()).await?.search_attributes();
    assert!(last.raw_payload("TemporalChangeVersion").is_some(), "{last:?}");
    assert!(last.raw_payload("TemporalScheduledById").is_none(), "{last:?}");
    worker.stop().await?;
    Ok(())
}
