//! Rows, by row-level security: no statement here names an organization to find one.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::auth::Tenant;
use crate::error::Error;
use crate::name::Name;

#[derive(Deserialize, Serialize, sqlx::FromRow)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pipeline {
    id: String,
    name: String,
}

/// `GET /pipelines`
pub(crate) async fn list(Tenant(tenant): Tenant) -> Result<Json<Vec<Pipeline>>, Error> {
    let mut tx = tenant.database()?.begin().await?;
    let pipelines = sqlx::query_as("SELECT id, name FROM pipelines ORDER BY id")
        .fetch_all(&mut tx) // no WHERE org_id: the server adds it, and nobody can forget it
        .await?;
    tx.commit().await?;
    Ok(Json(pipelines))
}

/// `POST /pipelines`
pub(crate) async fn create(
    Tenant(tenant): Tenant,
    body: Result<Json<Pipeline>, JsonRejection>,
) -> Result<(StatusCode, Json<Pipeline>), Error> {
    let Json(pipeline) = body?;
    let id: Name = pipeline.id.parse()?;
    check_title(&pipeline.name)?;
    let mut tx = tenant.database()?.begin().await?;
    sqlx::query("INSERT INTO pipelines (org_id, id, name) VALUES ($1, $2, $3)")
        // The value is checked by the server too: only that of the scope is accepted.
        .bind(tenant.scope().org_id().as_str())
        .bind(id.as_str())
        .bind(&pipeline.name)
        .execute(&mut tx)
        .await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(pipeline)))
}

/// `GET /pipelines/{id}`
pub(crate) async fn show(Tenant(tenant): Tenant, id: Name) -> Result<Json<Pipeline>, Error> {
    let mut tx = tenant.database()?.begin().await?;
    let pipeline = sqlx::query_as("SELECT id, name FROM pipelines WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(&mut tx)
        .await?;
    tx.commit().await?;
    pipeline.map(Json).ok_or(Error::NotFound)
}

fn check_title(text: &str) -> Result<(), Error> {
    if (1..=200).contains(&text.len()) && !text.contains(char::is_control) {
        Ok(())
    } else {
        Err(Error::Field("name: it has 1 to 200 bytes, and no control characters"))
    }
}
