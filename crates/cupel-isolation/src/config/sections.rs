use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use super::source::list;

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
    /// The key that contexts are sealed with, where `context` is not plain: an id, a colon, and what
    /// `openssl rand -hex 32` prints.
    pub seal_key: Option<SecretString>,
    /// The key that is being replaced by `seal_key`: the database opens seals of both. Only `cupel migrate`
    /// reads it.
    pub previous_seal_key: Option<SecretString>,
    /// The type of the columns that hold organization and workspace ids.
    #[serde(default)]
    pub column_type: ColumnTypeName,
    /// Whether the URL leads to a pooler that hands out backends by the transaction, as PgBouncer does
    /// with `pool_mode = transaction`.
    #[serde(default)]
    pub behind_pooler: bool,
    /// The most connections of the pool.
    pub max_connections: Option<u32>,
    /// Whether a database is connected to that its audit finds broken. In development it is, with
    /// warnings, unless this says otherwise; in production it is not.
    pub allow_critical_findings: Option<bool>,
    /// Whether a policy that is read without an organization raises an error, instead of showing no rows.
    /// Only `cupel migrate` reads it.
    #[serde(default)]
    pub strict: bool,
    /// The tables that hold tenants' rows, each with whose its rows are. Only `cupel migrate` and
    /// `cupel adopt` read it; the database remembers.
    #[serde(default)]
    pub tables: BTreeMap<String, TableKindName>,
    /// A file that declares the tables instead, with their columns and parents. Its path is from where the
    /// program runs.
    pub declaration: Option<PathBuf>,
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
    /// A workspace's, or the organization's own, which a scope without a workspace sees alone.
    Separate,
}

/// How the server learns the organization of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ContextName {
    /// By a transaction-local setting.
    #[default]
    Plain,
    /// By a seal that is opened once, into a setting that the app role cannot write. The migration needs
    /// a superuser.
    Register,
    /// By a setting with a seal: a message authentication code that the policies check.
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
    #[serde(deserialize_with = "list")]
    pub control_plane: Vec<String>,
    /// The accounts that manage organizations, as the API server knows them; the admission guards refuse
    /// everybody else. Left out, the account that connects. `cupel render --guards` needs it.
    #[serde(deserialize_with = "list")]
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
