//! One table with the same rows, isolated as each of those who are compared does it.

use cupel_tenant_db::{ColumnType, ContextMode, Migration, SealKey, Table, TenantDb};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::BoxError;
use crate::server::{Server, with_role};

/// How many rows each organization has.
pub const ROWS: u64 = 500;

/// The role of the peers, which owns nothing and bypasses nothing.
pub const PEER: &str = "bench_peer";

/// Creates that role, where it is not there yet.
pub const PEER_ROLE: &str = "DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bench_peer') THEN
    CREATE ROLE bench_peer LOGIN PASSWORD 'bench_peer';
  END IF;
END $$;";

const TABLE: &str =
    "CREATE TABLE pipelines (org_id uuid NOT NULL, id bigint NOT NULL, name text NOT NULL,
  runs int NOT NULL DEFAULT 0, PRIMARY KEY (org_id, id))";

/// The policy that the source document prints.
pub const DOCUMENT: &str = "CREATE POLICY tenant_isolation_policy ON pipelines
  USING (org_id = current_setting('app.current_org_id')::uuid)";

/// The policy of tenaxum's documentation.
pub const TENAXUM: &str = "CREATE POLICY tenant_isolation ON pipelines
  USING (org_id = current_setting('app.tenant_id', true)::uuid)
  WITH CHECK (org_id = current_setting('app.tenant_id', true)::uuid)";

/// Returns the id of the organization of this number.
pub fn org_id(org: u64) -> String {
    format!("00000000-0000-4000-8000-000000000{}", 100 + org)
}

/// Returns what a row of an organization holds, so that a reader knows it.
pub fn name(org: u64, row: i64) -> String {
    format!("pipeline {}-{row}", 100 + org)
}

fn seal_key() -> Result<SealKey, BoxError> {
    Ok(format!("k1:{}", "0f".repeat(32)).parse()?)
}

/// Connects as the application does.
///
/// # Errors
///
/// If the database is not as [`ours`] makes it.
pub async fn connect(url: &str, mode: ContextMode, max: u32) -> Result<TenantDb, BoxError> {
    let builder = TenantDb::builder(url).context(mode).seal_key(seal_key()?);
    Ok(builder.max_connections(max).connect().await?)
}

/// Isolates the table as we do it, and returns the URL of the application's role.
///
/// # Errors
///
/// If the server refuses it.
pub async fn ours(server: &Server, mode: ContextMode, orgs: u64) -> Result<String, BoxError> {
    let owner_url = server.database().await?;
    let app_url = with_role(&owner_url, "bench_app")?;
    let mut owner = PgConnection::connect(&owner_url).await?;
    sqlx::raw_sql(TABLE).execute(&mut owner).await?;
    Migration::new(&owner_url)
        .app_url(&app_url)
        .column_type(ColumnType::Uuid)
        .context(mode)
        .seal_keys([seal_key()?])
        .tables([Table::org("pipelines")])
        .run()
        .await?;
    fill(&mut owner, orgs).await?;
    Ok(app_url)
}

/// Isolates the table with a policy of somebody else's, and returns the URL of a role that is bound by it.
///
/// # Errors
///
/// If the server refuses it.
pub async fn theirs(server: &Server, policy: &str, orgs: u64) -> Result<String, BoxError> {
    let owner_url = server.database().await?;
    let mut owner = PgConnection::connect(&owner_url).await?;
    sqlx::raw_sql(TABLE).execute(&mut owner).await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "{PEER_ROLE}
         GRANT SELECT, INSERT, UPDATE, DELETE ON pipelines TO {PEER};
         ALTER TABLE pipelines ENABLE ROW LEVEL SECURITY;
         ALTER TABLE pipelines FORCE ROW LEVEL SECURITY;
         {policy}"
    )))
    .execute(&mut owner)
    .await?;
    fill(&mut owner, orgs).await?;
    with_role(&owner_url, PEER)
}

/// The superuser is exempt from every policy.
async fn fill(owner: &mut PgConnection, orgs: u64) -> Result<(), BoxError> {
    sqlx::query(
        "INSERT INTO pipelines
         SELECT ('00000000-0000-4000-8000-000000000' || org)::uuid, n, 'pipeline ' || org || '-' || n
         FROM generate_series(100, 99 + $1) org, generate_series(1, $2) n",
    )
    .bind(i64::try_from(orgs)?)
    .bind(i64::try_from(ROWS)?)
    .execute(&mut *owner)
    .await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(owner).await?;
    Ok(())
}
