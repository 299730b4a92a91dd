use cupel_tenant::{Health, LayerName};
use futures::future;

use crate::{Config, Error, layers};

/// What a layer is, as of now.
#[derive(Debug)]
#[non_exhaustive]
pub enum Checkup {
    /// The server answered.
    Reachable(Health),
    /// The layer is configured, and could not be connected or does not answer as needed.
    Failing(Error),
    /// The layer is not configured.
    NotConfigured,
}

/// Connects every configured layer, each by itself, and asks its server who it is.
///
/// Never fails: a server that does not answer is a result like any other. The layers come in the order
/// of reports.
pub async fn examine(config: &Config) -> Vec<(LayerName, Checkup)> {
    future::join_all(LayerName::ALL.map(|name| async move {
        let checkup = match layers::connect_one(name, config).await {
            Ok(None) => Checkup::NotConfigured,
            Ok(Some(layer)) => match layer.health().await {
                Ok(health) => Checkup::Reachable(health),
                Err(error) => Checkup::Failing(error.into()),
            },
            Err(error) => Checkup::Failing(error),
        };
        (name, checkup)
    }))
    .await
}
