//! The work that [`prove`](crate::TenantQueues) attacks, and attacks with.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporal_client::tonic::Request;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::TerminateWorkflowExecutionRequest;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{
    ActivityOptions, ChildWorkflowOptions, ParentClosePolicy, SyncWorkflowContext, WorkflowContext,
    WorkflowResult,
};

/// A run that is open until it is signalled, and then returns its secret and the signal's note.
#[workflow]
#[derive(Default)]
pub(crate) struct Held {
    note: Option<String>,
}

#[workflow_methods]
impl Held {
    #[run(name = "cupel-canary-held")]
    pub(crate) async fn run(
        ctx: &mut WorkflowContext<Self>,
        secret: String,
    ) -> WorkflowResult<String> {
        ctx.wait_condition(|held| held.note.is_some()).await?;
        let note = ctx.state(|held| held.note.clone().unwrap_or_default());
        Ok(format!("{secret}, {note}"))
    }

    #[signal(name = "release")]
    pub(crate) fn release(&mut self, _ctx: &mut SyncWorkflowContext<Self>, note: String) {
        self.note = Some(note);
    }
}

/// What an [`Errand`] is to do, to whichever names it is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Start a child under an id, on a queue.
    StartChild { queue: String, id: String },
    /// Signal a run, from workflow code.
    Signal { id: String },
    /// Terminate a run, from an activity, through the client that the SDK hands to activities.
    Terminate { id: String },
}

/// A run whose code reaches for something, and tells what came of it.
#[workflow]
#[derive(Default)]
pub(crate) struct Errand;

#[workflow_methods]
impl Errand {
    #[run(name = "cupel-canary-errand")]
    pub(crate) async fn run(ctx: &mut WorkflowContext<Self>, task: Task) -> WorkflowResult<Told> {
        Ok(match task {
            Task::StartChild { queue, id } => {
                let options = ChildWorkflowOptions::builder()
                    .workflow_id(id)
                    .task_queue(queue)
                    .parent_close_policy(ParentClosePolicy::Abandon)
                    .build();
                match ctx.start_child_workflow(Held::run, "errand".to_owned(), options).await {
                    Ok(_) => Told::Done,
                    Err(error) => Told::Refused(error.to_string()),
                }
            }
            Task::Signal { id } => {
                let run = ctx.external_workflow(id, None);
                match run.signal(Held::release, "errand".to_owned(), Default::default()).await {
                    Ok(()) => Told::Done,
                    Err(error) => Told::Refused(error.to_string()),
                }
            }
            Task::Terminate { id } => {
                let options = ActivityOptions::start_to_close_timeout(Duration::from_secs(10));
                ctx.execute_activity(Hands::terminate, id, options).await?
            }
        })
    }
}

/// What an [`Errand`] tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    /// It did what it was to do, as far as it knows.
    Done,
    /// It was refused, for this reason.
    Refused(String),
}

/// The activities of an [`Errand`].
pub(crate) struct Hands;

#[activities]
impl Hands {
    #[activity(name = "cupel-canary-terminate")]
    pub(crate) async fn terminate(ctx: ActivityContext, id: String) -> Result<Told, ActivityError> {
        let client = ctx.client();
        let request = TerminateWorkflowExecutionRequest {
            namespace: client.options().namespace.clone(),
            workflow_execution: Some(WorkflowExecution { workflow_id: id, ..Default::default() }),
            ..Default::default()
        };
        let mut service = client.connection().workflow_service();
        Ok(match service.terminate_workflow_execution(Request::new(request)).await {
            Ok(_) => Told::Done,
            Err(status) => Told::Refused(status.code().to_string()),
        })
    }
}
