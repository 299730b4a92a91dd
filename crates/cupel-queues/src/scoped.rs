use std::sync::Arc;

use cupel_tenant::{OrgId, TenantScope};
use futures::StreamExt;
use temporal_client::errors::WorkflowStartError;
use temporal_client::{Priority, WorkflowCountOptions, WorkflowListOptions, WorkflowStartOptions};
use temporalio_common::{HasWorkflowDefinition, MemoValues};

use crate::lane::Lane;
use crate::run::RunInfo;
use crate::snapshot::{self, QueueSnapshot};
use crate::{Error, QueueName, Run, RunFilter, RunId, TenantQueues};

/// The queue of one organization, and its runs.
///
/// No call takes the name of a queue, a namespace or a whole workflow id: runs are named within the
/// organization. A scope that is narrowed to a workspace starts runs that carry it in their memo;
/// runs themselves are the organization's.
///
/// Cloning is cheap, and a handle may be kept.
#[derive(Clone, Debug)]
pub struct ScopedQueues {
    queues: TenantQueues,
    lane: Arc<Lane>,
    scope: TenantScope,
}

/// The memo field that holds the workspace that a run was started in.
pub(crate) const WORKSPACE: &str = "cupel-workspace";
/// The memo field that holds who started a run.
pub(crate) const ACTOR: &str = "cupel-actor";

impl ScopedQueues {
    pub(crate) fn new(queues: TenantQueues, lane: Arc<Lane>, scope: TenantScope) -> Self {
        Self { queues, lane, scope }
    }

    /// Returns whose queue this is.
    pub fn org_id(&self) -> &OrgId {
        &self.lane.org
    }

    /// Returns the name of the queue.
    pub fn queue(&self) -> &QueueName {
        &self.lane.queue
    }

    /// Starts a run on the organization's queue, and returns once the server has stored it.
    ///
    /// A name is free again when its run has ended. The run's memo says the workspace
    /// (`cupel-workspace`) and the actor (`cupel-actor`) of the scope; its fairness key is the
    /// organization, so that queues can be merged later without one crowding out another.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] before anything is sent, [`Error::AlreadyRunning`] if a run of this name is
    /// open, [`Error::Suspended`] if the organization is suspended (known at most one second late),
    /// [`Error::Conversion`] if the input cannot be converted.
    pub async fn start<W>(&self, workflow: W, name: &str, input: W::Input) -> Result<Run<W>, Error>
    where
        W: HasWorkflowDefinition,
        W::Input: Send,
    {
        let id = RunId::new(&self.lane.org, name.parse()?);
        self.lane.standing.admit().await?;
        let mut memo = MemoValues::new();
        if let Some(workspace) = self.scope.workspace_id() {
            memo.insert(WORKSPACE, workspace.to_string());
        }
        if let Some(actor) = self.scope.actor() {
            memo.insert(ACTOR, actor.to_string());
        }
        let options = WorkflowStartOptions::new(self.lane.queue.to_string(), id.to_string())
            .memo(memo)
            .priority(Priority::builder().fairness_key(self.lane.org.to_string()).build())
            .build();
        let client = self.lane.client().await?;
        match client.start_workflow(workflow, input, options).await {
            Ok(handle) => {
                let run = handle.run_id().map(str::to_owned);
                Ok(Run::new(Arc::clone(&self.lane), id, run))
            }
            Err(WorkflowStartError::AlreadyStarted { .. }) => Err(Error::AlreadyRunning),
            Err(WorkflowStartError::PayloadConversion(source)) => {
                Err(Error::Conversion { source: source.into() })
            }
            Err(WorkflowStartError::Rpc(status)) => Err(status.into()),
            Err(source) => Err(Error::Server { source: source.into() }),
        }
    }

    /// Returns a handle to the latest run of this name. The server is not asked.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] if it is no run name.
    pub fn run<W: HasWorkflowDefinition>(&self, _workflow: W, name: &str) -> Result<Run<W>, Error> {
        let id = RunId::new(&self.lane.org, name.parse()?);
        Ok(Run::new(Arc::clone(&self.lane), id, None))
    }

    /// Lists at most `limit` of the organization's runs, the latest first.
    ///
    /// Temporal indexes runs after the fact: one that just started or ended may not show yet.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if the list cannot be read. A namespace has 10 lists and counts per second
    /// by default (`frontend.namespaceRPS.visibility`), over all organizations.
    pub async fn list(&self, filter: &RunFilter, limit: usize) -> Result<Vec<RunInfo>, Error> {
        let query = filter.query(&self.lane.org).to_string();
        let options = WorkflowListOptions::builder().limit(limit).build();
        let client = self.lane.client().await?;
        let mut runs = Vec::new();
        let mut rows = client.list_workflows(query, options);
        while let Some(row) = rows.next().await {
            let row = row?;
            // An id without the organization's prefix was not started through this crate.
            if let Ok(id) = row.id().parse::<RunId>() {
                runs.push(RunInfo {
                    id,
                    workflow: row.workflow_type().to_owned(),
                    status: row.status().into(),
                    started: row.start_time(),
                    ended: row.close_time(),
                });
            }
        }
        Ok(runs)
    }

    /// Counts the organization's runs, as [`list`](Self::list) would find them.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    pub async fn count(&self, filter: &RunFilter) -> Result<u64, Error> {
        let query = filter.query(&self.lane.org).to_string();
        let client = self.lane.client().await?;
        let count = client.count_workflows(query, WorkflowCountOptions::default()).await?;
        Ok(u64::try_from(count.count()).unwrap_or_default())
    }

    /// Reads how the queue stands: three calls, and one per running worker.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if the server cannot be read.
    pub async fn snapshot(&self) -> Result<QueueSnapshot, Error> {
        snapshot::take(&self.queues, &self.lane).await
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }
}
