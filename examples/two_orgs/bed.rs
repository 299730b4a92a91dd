//! The servers of the demonstration, and the database that it owns.

use std::error::Error;

use cupel_isolation::{Config, migrate};
use cupel_testkit::TestBed;
use secrecy::ExposeSecret;

/// Plain tables, as a service owns them: nothing in it knows of isolation.
const SCHEMA: &str = include_str!("../../crates/cupel-tenant-db/examples/pipelines/schema.sql");

/// What `cupel.toml` would say of these tables.
const TABLES: &str = "
[database.tables]
pipelines = 'org'
pipeline_runs = 'workspace'
quality_results = 'workspace'
component_libraries = 'shared'
data_products = 'shared'
";

/// Starts what is needed, makes the tables, and puts the guards around them.
pub(crate) async fn start(say: &impl Fn(&str)) -> Result<Config, Box<dyn Error>> {
    let bed = TestBed::shared().await?;
    for source in bed.sources() {
        say(&format!("  {source}"));
    }
    let config = Config::from_toml(&(bed.config().await? + TABLES))?;
    let owner_url = config.database.as_ref().and_then(|section| section.owner_url.as_ref());
    let owner_url = owner_url.ok_or("the test bed names the owner of its database")?;
    let owner = sqlx::PgPool::connect(owner_url.expose_secret()).await?;
    sqlx::raw_sql(SCHEMA).execute(&owner).await?;
    owner.close().await;

    let changes = migrate::run(&config).await?;
    say(&format!("migrated the database: {} changes", changes.iter().count()));
    Ok(config)
}
