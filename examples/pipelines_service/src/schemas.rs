//! A cached family: read often, made again when it is missing, invalidated when its source changes.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use cupel_isolation::cache::{Family, Ttl};
use serde::{Deserialize, Serialize};

use crate::auth::Tenant;
use crate::error::Error;
use crate::name::Name;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Schema {
    columns: Vec<String>,
}

/// The family of one tenant. Nothing in a key says whose it is: the handle does.
fn family(tenant: &cupel_isolation::Tenant) -> Result<Family, Error> {
    Ok(tenant.cache()?.family("schemas").living(Ttl::minutes(10)))
}

/// `GET /schemas/{name}`
pub(crate) async fn show(Tenant(tenant): Tenant, name: Name) -> Result<Json<Schema>, Error> {
    // That there is none is worth remembering too.
    let schema: Option<Schema> =
        family(&tenant)?.get_or_load(name.as_str(), async || load(&tenant, &name).await).await?;
    schema.map(Json).ok_or(Error::NotFound)
}

async fn load(tenant: &cupel_isolation::Tenant, name: &Name) -> Result<Option<Schema>, Error> {
    let mut tx = tenant.database()?.begin().await?;
    let columns: Option<Vec<String>> =
        sqlx::query_scalar("SELECT columns FROM source_schemas WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&mut tx)
            .await?;
    tx.commit().await?;
    Ok(columns.map(|columns| Schema { columns }))
}

/// `PUT /schemas/{name}`
pub(crate) async fn store(
    Tenant(tenant): Tenant,
    name: Name,
    body: Result<Json<Schema>, JsonRejection>,
) -> Result<StatusCode, Error> {
    let Json(schema) = body?;
    for column in &schema.columns {
        column.parse::<Name>()?;
    }
    let mut tx = tenant.database()?.begin().await?;
    sqlx::query(
        "INSERT INTO source_schemas (org_id, name, columns) VALUES ($1, $2, $3)
         ON CONFLICT (org_id, name) DO UPDATE SET columns = excluded.columns",
    )
    .bind(tenant.scope().org_id().as_str())
    .bind(name.as_str())
    .bind(&schema.columns)
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    // After the commit: what was loaded before it, and is not stored yet, will not be.
    family(&tenant)?.invalidate().await?;
    Ok(StatusCode::NO_CONTENT)
}
