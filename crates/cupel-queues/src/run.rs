use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use temporal_client::errors::WorkflowGetResultError;
use temporal_client::{
    Client, WorkflowCancelOptions, WorkflowDescribeOptions, WorkflowExecutionInfo,
    WorkflowGetResultOptions, WorkflowHandle, WorkflowTerminateOptions,
};
use temporalio_common::HasWorkflowDefinition;

use crate::lane::Lane;
use crate::{Error, RunId, RunStatus};

/// One run of the organization, by its name.
///
/// A handle is made without asking the server: whether there is such a run shows with the first
/// call. A handle from [`start`](crate::ScopedQueues::start) stays with the run that it started; one
/// from [`run`](crate::ScopedQueues::run) speaks of the latest run of the name.
pub struct Run<W> {
    lane: Arc<Lane>,
    id: RunId,
    run: Option<String>,
    workflow: PhantomData<fn() -> W>,
}

impl<W: HasWorkflowDefinition> Run<W> {
    pub(crate) fn new(lane: Arc<Lane>, id: RunId, run: Option<String>) -> Self {
        Self { lane, id, run, workflow: PhantomData }
    }

    /// Returns the workflow id of the run: `{org_id}/{name}`.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Waits for the run to end, and returns its result. Waiting is a long poll, renewed as needed;
    /// dropping it changes nothing for the run.
    ///
    /// # Errors
    ///
    /// [`Error::RunFailed`], [`Error::RunCancelled`], [`Error::RunTerminated`] and
    /// [`Error::RunTimedOut`] say how the run ended otherwise; [`Error::NotFound`] if there is none.
    pub async fn result(&self) -> Result<W::Output, Error> {
        let options = WorkflowGetResultOptions::default();
        self.handle().await?.get_result(options).await.map_err(|error| match error {
            WorkflowGetResultError::Failed(failure) => Error::RunFailed { source: failure },
            WorkflowGetResultError::Cancelled { .. } => Error::RunCancelled,
            WorkflowGetResultError::Terminated { .. } => Error::RunTerminated,
            WorkflowGetResultError::TimedOut => Error::RunTimedOut,
            WorkflowGetResultError::NotFound(_) => Error::NotFound,
            WorkflowGetResultError::Rpc(status) => status.into(),
            WorkflowGetResultError::PayloadConversion(source) => {
                Error::Conversion { source: source.into() }
            }
            source => Error::Server { source: source.into() },
        })
    }

    /// Asks the run to end by itself, with its own clean-up.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such run that is open.
    pub async fn cancel(&self) -> Result<(), Error> {
        Ok(self.handle().await?.cancel(WorkflowCancelOptions::builder().build()).await?)
    }

    /// Ends the run at once. `reason` is kept in its history.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such run that is open.
    pub async fn terminate(&self, reason: &str) -> Result<(), Error> {
        let options = WorkflowTerminateOptions::builder().reason(reason.to_owned()).build();
        Ok(self.handle().await?.terminate(options).await?)
    }

    /// Returns where the run stands.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such run.
    pub async fn status(&self) -> Result<RunStatus, Error> {
        Ok(self.describe().await?.status)
    }

    /// Returns what the server knows of the run.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such run.
    pub async fn describe(&self) -> Result<RunInfo, Error> {
        let run = self.handle().await?.describe(WorkflowDescribeOptions::default()).await?;
        Ok(RunInfo {
            id: self.id.clone(),
            workflow: run.workflow_type().to_owned(),
            status: run.status().into(),
            started: run.start_time(),
            ended: run.close_time(),
        })
    }

    async fn handle(&self) -> Result<WorkflowHandle<Client, W>, Error> {
        let client = self.lane.client().await?;
        let info = WorkflowExecutionInfo::builder()
            .namespace(client.options().namespace.clone())
            .workflow_id(self.id.to_string())
            .maybe_run_id(self.run.clone())
            .build();
        Ok(WorkflowHandle::new(client, info))
    }
}

impl<W> Clone for Run<W> {
    fn clone(&self) -> Self {
        Self {
            lane: Arc::clone(&self.lane),
            id: self.id.clone(),
            run: self.run.clone(),
            workflow: PhantomData,
        }
    }
}

impl<W> fmt::Debug for Run<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("id", &self.id).field("run", &self.run).finish_non_exhaustive()
    }
}

/// What the server knows of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its workflow id.
    pub id: RunId,
    /// Its workflow type.
    pub workflow: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was started, by the server's clock.
    pub started: Option<SystemTime>,
    /// When it ended, by the server's clock; `None` while it is open.
    pub ended: Option<SystemTime>,
}
