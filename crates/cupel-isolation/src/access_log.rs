//! What `cupel access-log` does: the log of access across organizations, checked from end to end.

use cupel_tenant::LayerName;
use cupel_tenant_db::AccessLog;

use crate::{Config, Error, layers};

/// Checks the chain of the access log, and looks for the head of an earlier check if one is given. Only the
/// database is connected to.
///
/// # Errors
///
/// [`Error::NotConfigured`]; [`Error::Layer`] without an admin URL, or if the server does not answer.
pub async fn verify(config: &Config, head: Option<&str>) -> Result<AccessLog, Error> {
    let database = layers::database::connect(config).await?;
    let database = database.ok_or(Error::NotConfigured { layer: LayerName::Database })?;
    database.verify_access_log(head).await.map_err(|error| {
        layers::doing(LayerName::Database, "checking the access log", error.kind(), error)
    })
}
