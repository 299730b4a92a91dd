//! What `cupel.toml` and the environment may say.

mod sections;

use std::collections::BTreeMap;
use std::path::Path;

use cupel_tenant::{LayerName, Tier};
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Deserialize;

pub use self::sections::{
    CacheConfig, CacheIsolationName, ClusterConfig, ColumnTypeName, ContextName, DatabaseConfig,
    KeysConfig, QueuesConfig, ResourceConfig, TableKindName, TierConfig,
};
use crate::{Environment, Error};

/// The configuration of a service: one section per layer, each optional.
///
/// Every key can be overridden by the environment: `CUPEL_` and the path joined by `__`, as
/// `CUPEL_DATABASE__URL`. An unknown key is refused. URLs and passphrases are not printed by `Debug`.
///
/// # Examples
///
/// ```
/// use cupel_isolation::{Config, Environment};
///
/// let config = Config::from_toml(
///     r#"
///     environment = "development"
///
///     [cache]
///     url = "redis://localhost"
///     "#,
/// )?;
/// assert_eq!(config.environment, Environment::Development);
/// assert!(config.database.is_none());
///
/// assert!(Config::from_toml("colour = 'blue'").is_err());
/// # Ok::<(), cupel_isolation::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where the service runs. Production unless said otherwise.
    #[serde(default)]
    pub environment: Environment,
    /// PostgreSQL.
    pub database: Option<DatabaseConfig>,
    /// Redis.
    pub cache: Option<CacheConfig>,
    /// Temporal.
    pub queues: Option<QueuesConfig>,
    /// Kubernetes. Without it namespaces are rendered, not applied.
    pub cluster: Option<ClusterConfig>,
    /// AWS KMS or a local keyring.
    pub keys: Option<KeysConfig>,
    /// What each tier allows. `standard` and `enterprise` need not be listed; every other tier must.
    #[serde(default)]
    pub tiers: BTreeMap<Tier, TierConfig>,
}

impl Config {
    /// Reads a file, with the environment over it.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the file is not there or not TOML, a key is unknown, or a value has the
    /// wrong type; the cause names the key and where it was set.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = Toml::file_exact(path);
        Self::extract(Figment::new().merge(file), Some(path))
    }

    /// Reads the environment alone.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn from_env() -> Result<Self, Error> {
        Self::extract(Figment::new(), None)
    }

    /// Reads a text, with the environment over it.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Self::extract(Figment::new().merge(Toml::string(text)), None)
    }

    /// Returns whether a layer has a section.
    pub fn has(&self, layer: LayerName) -> bool {
        match layer {
            LayerName::Database => self.database.is_some(),
            LayerName::Cache => self.cache.is_some(),
            LayerName::Queues => self.queues.is_some(),
            LayerName::Cluster => self.cluster.is_some(),
            LayerName::Keys => self.keys.is_some(),
        }
    }

    fn extract(figment: Figment, path: Option<&Path>) -> Result<Self, Error> {
        // CUPEL_CONFIG names the file, for the command.
        let environment = Env::prefixed("CUPEL_").ignore(&["config"]).split("__");
        figment.merge(environment).extract().map_err(|source| Error::Config {
            path: path.map(Path::to_owned),
            source: Box::new(source),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match Config::from_toml(text) {
            Err(Error::Config { source, .. }) => source.to_string(),
            other => panic!("accepted: {other:?}"),
        }
    }

    #[test]
    fn unknown_keys_are_named_at_every_depth() {
        assert!(refused("colour = 1").contains("colour"));
        assert!(refused("[cache]\nurl = 'redis://h'\nttl = 1").contains("ttl"));
        assert!(refused("[tiers.gold]\npodz = 1").contains("podz"));
        assert!(refused("[keys]\nprovider = 'local-keyring'\npath = 'k'\nx = 1").contains('x'));
    }

    #[test]
    fn production_is_the_default() {
        assert_eq!(Config::from_toml("").unwrap().environment, Environment::Production);
        assert!(refused("environment = 'staging'").contains("staging"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = "[database]\nurl = 'postgres://app:hunter2@h/d'\n[keys]\nprovider = 'local-keyring'\npath = 'k'\npassphrase = 'hunter2'";
        assert!(!format!("{:?}", Config::from_toml(text).unwrap()).contains("hunter2"));
    }

    #[test]
    fn a_malformed_tier_name_is_refused() {
        assert!(refused("[tiers.'Gold Plan']\npods = 1").contains("invalid tier"));
    }
}
