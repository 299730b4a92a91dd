//! Everything the service needs, on this machine: for trying it out, and for its tests.

use std::error::Error;

use cupel_isolation::{Config, migrate};
use secrecy::ExposeSecret;
use sqlx::Connection;

/// The service's tables, as its owner makes them.
const SCHEMA: &str = include_str!("../schema.sql");

/// The configuration that is deployed, whose declaration of tables is taken.
const DEPLOYED: &str = include_str!("../cupel.toml");

/// Starts servers, and returns the configuration of a service on them. Its database is new and migrated.
///
/// They end with the process.
///
/// # Errors
///
/// A server that could not be started, with what to install; a database that could not be migrated.
pub async fn start() -> Result<Config, Box<dyn Error>> {
    let servers = cupel_testkit::config(&["database", "cache", "queues", "keys"]).await?;
    let mut config = Config::from_toml(&servers)?;
    let deployed = Config::from_toml(DEPLOYED)?;
    if let (Some(here), Some(there)) = (&mut config.database, deployed.database) {
        here.tables = there.tables;
    }
    let owner_url = config.database.as_ref().and_then(|database| database.owner_url.as_ref());
    let owner_url = owner_url.ok_or("the test bed names the owner of its database")?;
    let mut owner = sqlx::PgConnection::connect(owner_url.expose_secret()).await?;
    sqlx::raw_sql(SCHEMA).execute(&mut owner).await?;
    owner.close().await?;
    migrate::run(&config).await?;
    Ok(config)
}
