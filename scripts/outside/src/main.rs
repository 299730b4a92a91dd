//! One layer, taken as a dependency.

use std::error::Error;

use cupel_tenant::{OrgId, TenantScope};
use cupel_tenant_db::TenantDb;

/// Counts what the organization sees.
pub async fn count(db: &TenantDb, org: OrgId) -> Result<i64, Box<dyn Error>> {
    let mut tx = db.begin(&TenantScope::org(org)).await?;
    let count = sqlx::query_scalar("SELECT count(*) FROM pipelines").fetch_one(&mut tx).await?;
    tx.commit().await?;
    Ok(count)
}

fn main() {}
