//! What `cupel.toml` and the environment may say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cupel_tenant::{LayerName, Tier};
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use secrecy::SecretString;
use serde::Deserialize;

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

/// `[database]`: PostgreSQL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DatabaseConfig {
    /// The URL of the app role, which row-level security binds.
    pub url: SecretString,
    /// The URL of the admin role. Without it there is no admin path and no registry.
    pub admin_url: Option<SecretString>,
    /// The URL of the owner. Only `cupel migrate` needs it.
    pub owner_url: Option<SecretString>,
    /// How the server learns the organization.
    #[serde(default)]
    pub context: ContextName,
    /// The type of the columns that hold organization and workspace ids.
    #[serde(default)]
    pub column_type: ColumnTypeName,
    /// The most connections of the pool.
    pub max_connections: Option<u32>,
    /// The tables that hold tenants' rows, each with whose its rows are. Only `cupel migrate` reads
    /// it; the database remembers.
    #[serde(default)]
    pub tables: BTreeMap<String, TableKindName>,
}

/// Whose the rows of a declared table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TableKindName {
    /// Nobody's: every organization reads them, none writes them.
    Global,
    /// An organization's.
    Org,
    /// An organization's; a scope narrowed to a workspace reads them and does not write them.
    Shared,
    /// A workspace's; where `workspace_id` is NULL, shared by the organization.
    Workspace,
}

/// How the server learns the organization of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ContextName {
    /// By a transaction-local setting.
    #[default]
    Plain,
    /// By a setting kept where only a superuser can write. Not built yet.
    Register,
    /// By a setting with a message authentication code. Not built yet.
    Sealed,
}

/// The type of the columns that hold ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ColumnTypeName {
    /// `text COLLATE "C"`: every organization id.
    #[default]
    Text,
    /// `uuid`: organization ids that are UUIDs.
    Uuid,
}

/// `[cache]`: Redis.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The URL: `rediss://`, or `redis://` to loopback or in development.
    pub url: SecretString,
    /// What keeps organizations apart.
    #[serde(default)]
    pub isolation: CacheIsolationName,
}

/// What keeps organizations apart in the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CacheIsolationName {
    /// A Redis user per organization. Not built yet.
    Acl,
    /// Keys that no handle can leave.
    #[default]
    Prefix,
}

/// `[queues]`: Temporal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct QueuesConfig {
    /// The address of the frontend: `https://…`, or `http://…` to loopback or in development.
    pub address: String,
    /// The Temporal namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// `[cluster]`: Kubernetes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// The kubeconfig file; the usual places if left out, the pod's own account in a cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; its current one if left out.
    pub context: Option<String>,
    /// The namespaces of the control plane, by name: organizations' pods may call them.
    pub control_plane: Vec<String>,
    /// The accounts that manage organizations, as the API server knows them; the admission guards refuse
    /// everybody else. Left out, the account that connects. `cupel render --guards` needs it.
    pub managers: Vec<String>,
}

/// `[keys]`: AWS KMS or a local keyring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "provider", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeysConfig {
    /// AWS KMS, with credentials from the usual places of the AWS SDK.
    #[non_exhaustive]
    AwsKms {
        /// The region; that of the AWS environment if left out.
        region: Option<String>,
        /// Another endpoint than the region's: an emulator, a VPC endpoint.
        endpoint: Option<String>,
        /// An access key, for emulators: leave it out for the usual places of the AWS SDK.
        access_key_id: Option<String>,
        /// The secret that goes with the access key.
        secret_access_key: Option<SecretString>,
    },
    /// An encrypted file. Refused in production.
    #[non_exhaustive]
    LocalKeyring {
        /// The file; made if it is not there.
        path: PathBuf,
        /// The passphrase that opens it. Without one a key file of mode 0600 is made beside it.
        passphrase: Option<SecretString>,
    },
}

/// `[tiers.NAME]`: what a tier allows. What is left out is as in `standard`, or in `enterprise` for the
/// tier of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TierConfig {
    /// The most runs that a worker of the organization advances at a time.
    pub max_open_runs: Option<usize>,
    /// What pods may request, summed over the namespace.
    pub requests: Option<ResourceConfig>,
    /// What pods may be limited to, summed over the namespace.
    pub limits: Option<ResourceConfig>,
    /// The most pods.
    pub pods: Option<u32>,
}

/// CPU and memory, as Kubernetes quantities.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ResourceConfig {
    /// Cores, as `500m` or `32`.
    pub cpu: String,
    /// Bytes, as `128Gi`.
    pub memory: String,
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
