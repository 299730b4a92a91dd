//! Secrets, sealed with the organization's own key before they are stored, opened where they are used.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use cupel_isolation::keys::{Credential, Plaintext, RecordContext, Sealed};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::auth::Tenant;
use crate::error::Error;
use crate::name::Name;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCredentials {
    secret: SecretString,
}

/// Where a secret belongs. What is sealed for one place opens nowhere else.
fn place(pipeline: &Name) -> RecordContext {
    Credential::of("connector_credentials", pipeline.as_str(), "sealed")
}

/// `PUT /pipelines/{id}/credentials`. No route gives them back.
pub(crate) async fn store(
    Tenant(tenant): Tenant,
    pipeline: Name,
    body: Result<Json<NewCredentials>, JsonRejection>,
) -> Result<StatusCode, Error> {
    let Json(new) = body?;
    let secret = new.secret.expose_secret();
    if secret.is_empty() || secret.len() > 4096 {
        return Err(Error::Field("secret: it has 1 to 4096 bytes"));
    }
    let sealed = tenant.keys()?.seal(place(&pipeline), secret.as_bytes()).await?;
    let mut tx = tenant.database()?.begin().await?;
    sqlx::query(
        "INSERT INTO connector_credentials (org_id, pipeline_id, sealed) VALUES ($1, $2, $3)
         ON CONFLICT (org_id, pipeline_id) DO UPDATE SET sealed = excluded.sealed",
    )
    .bind(tenant.scope().org_id().as_str())
    .bind(pipeline.as_str())
    .bind(sealed.as_bytes())
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Opens a pipeline's secret, for the run that needs it.
pub(crate) async fn open(
    tenant: &cupel_isolation::Tenant,
    pipeline: &Name,
) -> Result<Option<Plaintext>, Error> {
    let mut tx = tenant.database()?.begin().await?;
    let stored: Option<Vec<u8>> =
        sqlx::query_scalar("SELECT sealed FROM connector_credentials WHERE pipeline_id = $1")
            .bind(pipeline.as_str())
            .fetch_optional(&mut tx)
            .await?;
    tx.commit().await?;
    let Some(stored) = stored else { return Ok(None) };
    let sealed = Sealed::parse(stored).map_err(Error::internal)?;
    Ok(Some(tenant.keys()?.open(place(pipeline), &sealed).await?))
}
