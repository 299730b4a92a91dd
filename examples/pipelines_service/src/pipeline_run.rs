//! What a worker does: a workflow, and the activity in which it works as its organization.

use std::sync::Arc;
use std::time::Duration;

use cupel_isolation::cache::Ttl;
use cupel_isolation::{Isolation, OrgId, TenantScope, WorkspaceId};
use serde::{Deserialize, Serialize};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{ActivityOptions, WorkflowContext, WorkflowResult};
use tokio::runtime::Handle;

use crate::credentials;
use crate::error::Error;
use crate::name::Name;

/// Which run it is. It does not say whose: that is the worker's to know, not the input's.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RunOf {
    pub(crate) pipeline: Name,
    pub(crate) id: Name,
    pub(crate) workspace: Option<WorkspaceId>,
}

/// One run of a pipeline.
#[workflow]
#[derive(Default)]
pub(crate) struct PipelineRun;

#[workflow_methods]
impl PipelineRun {
    #[run]
    pub(crate) async fn run(
        context: &mut WorkflowContext<Self>,
        run: RunOf,
    ) -> WorkflowResult<String> {
        let within = ActivityOptions::start_to_close_timeout(Duration::from_secs(30));
        Ok(context.execute_activity(Steps::load, run, within).await?)
    }
}

/// The activities of one organization's worker.
pub(crate) struct Steps {
    pub(crate) isolation: Isolation,
    pub(crate) org: OrgId,
    /// Where the service runs. A worker has a runtime of its own, which ends with it, and connections
    /// belong to the runtime that opened them.
    pub(crate) runtime: Handle,
}

#[activities]
impl Steps {
    #[activity]
    pub(crate) async fn load(
        self: Arc<Self>,
        _: ActivityContext,
        run: RunOf,
    ) -> Result<String, ActivityError> {
        let runtime = self.runtime.clone();
        Ok(runtime.spawn(async move { self.load_as_tenant(&run).await }).await??)
    }

    /// May be repeated at any point: Temporal does, after an error.
    async fn load_as_tenant(&self, run: &RunOf) -> Result<String, Error> {
        let RunOf { pipeline, id, workspace } = run;
        let org = TenantScope::org(self.org.clone());
        let scope = match workspace {
            Some(workspace) => org.clone().narrow_to(workspace.clone()).map_err(Error::internal)?,
            None => org.clone(),
        };
        let tenant = self.isolation.enter(scope).await?;
        let status = tenant.cache()?.status();
        status.set(pipeline.as_str(), "loading", Ttl::minutes(5)).await?;

        // Secrets are the organization's, so its whole scope opens them.
        let owner = self.isolation.enter(org).await?;
        let state = match credentials::open(&owner, pipeline).await? {
            // Here the service would log in to the source, and load.
            Some(_secret) => "done",
            None => "failed",
        };

        let mut tx = tenant.database()?.begin().await?;
        sqlx::query(
            "INSERT INTO pipeline_runs (org_id, pipeline_id, id, workspace_id, state)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (org_id, pipeline_id, id) DO UPDATE SET state = excluded.state",
        )
        .bind(self.org.as_str())
        .bind(pipeline.as_str())
        .bind(id.as_str())
        .bind(workspace.as_ref().map(WorkspaceId::as_str))
        .bind(state)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        status.set(pipeline.as_str(), state, Ttl::minutes(5)).await?;
        Ok(state.to_owned())
    }
}
