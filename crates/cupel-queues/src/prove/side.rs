use std::time::Duration;

use cupel_tenant::{OrgId, TenantScope};
use temporal_client::Client;
use temporal_client::grpc::WorkflowService;
use temporal_client::tonic::Request;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DeleteWorkflowExecutionRequest, DescribeWorkflowExecutionRequest,
};
use tokio::time::timeout;

use crate::canary::{Errand, Hands, Held, Task, Told};
use crate::{Error, RunId, RunStatus, ScopedQueues, TenantQueues, WorkerHandle};

/// How long a canary's run may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One organization of a pair, with its own client and worker.
pub(super) struct Side {
    pub(super) scoped: ScopedQueues,
    pub(super) client: Client,
    worker: Option<WorkerHandle>,
    folder: String,
}

/// An attacker and a victim.
pub(super) struct Stage<'a> {
    pub(super) queues: &'a TenantQueues,
    pub(super) attacker: &'a Side,
    pub(super) victim: &'a Side,
}

/// What the server knows of a run, asked in our own name.
pub(super) struct Truth {
    pub(super) run: String,
    pub(super) queue: String,
    pub(super) status: RunStatus,
}

impl Side {
    /// Gives `org` a worker of canaries.
    pub(super) async fn enter(
        queues: &TenantQueues,
        org: &OrgId,
        folder: &str,
    ) -> Result<Self, Error> {
        let work = queues.worker(org, queues.limits(), |work| {
            work.register_workflow::<Held>()
                .register_workflow::<Errand>()
                .register_activities(Hands)
        });
        let worker = Some(work.await?);
        let scoped = queues.scoped(&TenantScope::org(org.clone()));
        let client = scoped.lane().client().await?;
        Ok(Self { scoped, client, worker, folder: folder.to_owned() })
    }

    pub(super) async fn leave(mut self) -> Result<(), Error> {
        match self.worker.take() {
            Some(worker) => worker.stop().await,
            None => Ok(()),
        }
    }

    pub(super) fn org(&self) -> &OrgId {
        self.scoped.org_id()
    }

    /// The queue's name, as text for a request.
    pub(super) fn queue(&self) -> String {
        self.scoped.queue().to_string()
    }

    /// The text that only the owner of a run is to see.
    pub(super) fn secret(&self) -> String {
        format!("secret of {}", self.org())
    }

    /// The organization's raw client.
    pub(super) fn service(&self) -> Box<dyn WorkflowService> {
        self.client.connection().workflow_service()
    }

    /// What the organization calls a run of the suite.
    pub(super) fn name(&self, act: &str) -> String {
        format!("{}/{act}", self.folder)
    }

    /// The workflow id of a run of the suite.
    pub(super) fn id(&self, act: &str) -> String {
        format!("{}/{}", self.org(), self.name(act))
    }

    /// Opens a run that holds the organization's secret, and returns its id.
    pub(super) async fn hold(&self, act: &str) -> Result<RunId, Error> {
        let run = self.scoped.start(Held::run, &self.name(act), self.secret()).await?;
        Ok(run.id().clone())
    }

    /// Runs an errand of the organization to its end. One that does not end is terminated.
    pub(super) async fn errand(&self, act: &str, task: Task) -> Result<Told, Error> {
        let run = self.scoped.start(Errand::run, &self.name(act), task).await?;
        match timeout(PATIENCE, run.result()).await {
            Ok(Ok(told)) => Ok(told),
            Ok(Err(Error::RunFailed { .. })) => Ok(Told::Refused("the run was failed".to_owned())),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                run.terminate("the canary did not end").await?;
                Err(Error::Deadline { waiting_for: "the end of a canary's run" })
            }
        }
    }
}

impl Stage<'_> {
    /// Asks the server for a run, in our own name; `None` if there is none.
    pub(super) async fn truth(&self, id: &str) -> Result<Option<Truth>, Error> {
        let request = DescribeWorkflowExecutionRequest {
            namespace: self.queues.namespace().to_owned(),
            execution: Some(WorkflowExecution {
                workflow_id: id.to_owned(),
                ..WorkflowExecution::default()
            }),
        };
        let mut service = self.queues.server().workflow_service();
        let answer = service.describe_workflow_execution(Request::new(request)).await;
        let info = match answer.map_err(Error::from) {
            Ok(answer) => answer.into_inner().workflow_execution_info.unwrap_or_default(),
            Err(Error::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Truth {
            run: info.execution.unwrap_or_default().run_id,
            queue: info.task_queue,
            status: RunStatus::from_wire(info.status),
        }))
    }

    /// Deletes a run in our own name, if there is one.
    pub(super) async fn remove(&self, id: &str) -> Result<(), Error> {
        let request = DeleteWorkflowExecutionRequest {
            namespace: self.queues.namespace().to_owned(),
            workflow_execution: Some(WorkflowExecution {
                workflow_id: id.to_owned(),
                ..WorkflowExecution::default()
            }),
        };
        let mut service = self.queues.server().workflow_service();
        let answer = service.delete_workflow_execution(Request::new(request)).await;
        match answer.map_err(Error::from) {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
