//! What every test here starts from.

use std::error::Error;

use cupel_isolation::{Config, Isolation, OrgId, OrgSpec, TenantScope, Tier, migrate};
use cupel_testkit::TestBed;

pub(crate) type TestResult = Result<(), Box<dyn Error>>;

/// Tables that a service would own, as the worked example of the database layer has them.
const SCHEMA: &str = include_str!("../../../cupel-tenant-db/examples/pipelines/schema.sql");

/// A configuration of all five layers, with a database of its own, migrated.
pub(crate) async fn all_layers() -> Result<Config, Box<dyn Error>> {
    let bed = TestBed::shared().await?;
    let config = bed.config().await?;
    migrated(&config).await
}

/// The same of some of the layers.
pub(crate) async fn layers(names: &[&str]) -> Result<Config, Box<dyn Error>> {
    layers_and(names, "").await
}

/// The same, with more sections.
pub(crate) async fn layers_and(names: &[&str], more: &str) -> Result<Config, Box<dyn Error>> {
    let config = cupel_testkit::config(names).await?;
    migrated(&(config + "\n" + more)).await
}

async fn migrated(text: &str) -> Result<Config, Box<dyn Error>> {
    let tables = "tables = { pipelines = 'org', pipeline_runs = 'workspace', quality_results = 'workspace', component_libraries = 'shared', data_products = 'shared' }";
    let text = text.replace("[database]\n", &format!("[database]\n{tables}\n"));
    let config = Config::from_toml(&text)?;
    if config.database.is_some() {
        sqlx::raw_sql(SCHEMA).execute(&owner(&config).await?).await?;
        migrate::run(&config).await?;
    }
    Ok(config)
}

/// A connection that nothing holds off, for setting the stage and for taking guards out.
pub(crate) async fn owner(config: &Config) -> Result<sqlx::PgPool, Box<dyn Error>> {
    use secrecy::ExposeSecret;
    let database = config.database.as_ref().ok_or("no database")?;
    let url = database.owner_url.as_ref().ok_or("no owner_url")?;
    Ok(sqlx::PgPool::connect(url.expose_secret()).await?)
}

/// Onboards organizations with names that no other test uses, each with the prefix it is given.
pub(crate) async fn onboard<const N: usize>(
    isolation: &Isolation,
    prefixes: [&str; N],
) -> Result<[OrgId; N], Box<dyn Error>> {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let mut orgs = Vec::new();
    for prefix in prefixes {
        let org: OrgId =
            format!("{prefix}-{}", nonce.chars().take(8).collect::<String>()).parse()?;
        isolation.onboard(OrgSpec::new(org.clone(), Tier::STANDARD)).await?;
        orgs.push(org);
    }
    orgs.try_into().map_err(|_| "as many as asked for".into())
}

/// The whole of an organization.
pub(crate) fn scope(org: &OrgId) -> TenantScope {
    TenantScope::org(org.clone())
}
