//! Work that waits its turn on the organization's own queue, and what it says of itself meanwhile.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use cupel_isolation::WorkspaceId;
use serde::{Deserialize, Serialize};

use crate::auth::Tenant;
use crate::error::Error;
use crate::name::Name;
use crate::pipeline_run::{PipelineRun, RunOf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRun {
    id: String,
}

#[derive(Serialize, sqlx::FromRow)]
pub(crate) struct Run {
    id: String,
    state: String,
}

#[derive(Serialize)]
pub(crate) struct Status {
    status: String,
}

/// `POST /pipelines/{id}/runs`
pub(crate) async fn start(
    Tenant(tenant): Tenant,
    pipeline: Name,
    body: Result<Json<NewRun>, JsonRejection>,
) -> Result<(StatusCode, Json<Run>), Error> {
    let Json(new) = body?;
    let id: Name = new.id.parse()?;
    let workspace = tenant.scope().workspace_id();
    let mut tx = tenant.database()?.begin().await?;
    sqlx::query(
        "INSERT INTO pipeline_runs (org_id, pipeline_id, id, workspace_id) VALUES ($1, $2, $3, $4)",
    )
    .bind(tenant.scope().org_id().as_str())
    .bind(pipeline.as_str())
    .bind(id.as_str())
    .bind(workspace.map(WorkspaceId::as_str))
    .execute(&mut tx)
    .await?;
    // The row is committed last: a run that does not start leaves none. One that starts, and whose row
    // is lost with the connection, writes it itself.
    let name = format!("{pipeline}/{id}");
    let run = RunOf { pipeline, id, workspace: workspace.cloned() };
    tenant.queues()?.start(PipelineRun::run, &name, run).await?;
    tx.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Run { id: new.id, state: "started".to_owned() })))
}

/// `GET /pipelines/{id}/runs`
pub(crate) async fn list(Tenant(tenant): Tenant, pipeline: Name) -> Result<Json<Vec<Run>>, Error> {
    let mut tx = tenant.database()?.begin().await?;
    let runs =
        sqlx::query_as("SELECT id, state FROM pipeline_runs WHERE pipeline_id = $1 ORDER BY id")
            .bind(pipeline.as_str())
            .fetch_all(&mut tx)
            .await?;
    tx.commit().await?;
    Ok(Json(runs))
}

/// `GET /pipelines/{id}/status`: what a live pipeline last said, from the cache.
pub(crate) async fn status(Tenant(tenant): Tenant, pipeline: Name) -> Result<Json<Status>, Error> {
    let status = tenant.cache()?.status().get(pipeline.as_str()).await?;
    status.map(|status| Json(Status { status })).ok_or(Error::NotFound)
}
