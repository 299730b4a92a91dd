use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use crate::{Attempt, Changes, Erasure, Finding, OrgId, OrgPair, OrgSpec};

/// An error of any type, as the cause of one of ours.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// One of the five places where organizations are kept apart.
///
/// The facade holds its layers as `Arc<dyn IsolationLayer>`; that is why the trait is boxed by
/// `async_trait`. One allocation is nothing beside the network round trip.
///
/// # Contract
///
/// Every method can be called again after it failed or was dropped half-way, and then ends in the
/// same state. None touches an organization other than those it is given.
#[async_trait]
pub trait IsolationLayer: Send + Sync {
    /// Returns which layer this is.
    fn name(&self) -> LayerName;

    /// Asks the server who it is: what is configured, reachable, in which version.
    ///
    /// # Errors
    ///
    /// [`LayerErrorKind::Unreachable`] if the server does not answer or refuses the credentials.
    async fn health(&self) -> Result<Health, LayerError>;

    /// Makes what the layer holds per organization, and returns what changed.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, refuses, or holds something under this organization's name
    /// that is not this organization's.
    async fn provision(&self, spec: &OrgSpec) -> Result<Changes, LayerError>;

    /// Looks for what is wrong with the isolation of `org`. Reads only.
    ///
    /// # Errors
    ///
    /// When the server cannot be read.
    async fn audit(&self, org: &OrgId) -> Result<Vec<Finding>, LayerError>;

    /// Attacks each organization of the pair as the other, with controls.
    ///
    /// Both must be provisioned. The layer makes the data that it attacks and leaves it behind:
    /// [`erase`](Self::erase) takes it away.
    ///
    /// # Errors
    ///
    /// When the stage cannot be set. An attack that cannot be carried out is an [`Attempt`] that is
    /// not proven, not an error.
    async fn prove(&self, pair: &OrgPair) -> Result<Vec<Attempt>, LayerError>;

    /// Refuses the organization from now on, and keeps its data.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    async fn suspend(&self, org: &OrgId) -> Result<(), LayerError>;

    /// Lets a suspended organization in again.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses.
    async fn resume(&self, org: &OrgId) -> Result<(), LayerError>;

    /// Erases what the layer holds of the organization, then scans for what is left.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses. Something left behind is no error but
    /// [`Erasure::residue`].
    async fn erase(&self, org: &OrgId) -> Result<Erasure, LayerError>;
}

/// The name of a layer: in code, configuration, commands and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[expect(clippy::exhaustive_enums, reason = "the five layers are the product")]
pub enum LayerName {
    /// PostgreSQL.
    Database,
    /// Redis.
    Cache,
    /// Temporal.
    Queues,
    /// Kubernetes.
    Cluster,
    /// AWS KMS or a local keyring.
    Keys,
}

impl LayerName {
    /// Every layer, in the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Database, Self::Cache, Self::Queues, Self::Cluster, Self::Keys];

    /// Returns the name as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Cache => "cache",
            Self::Queues => "queues",
            Self::Cluster => "cluster",
            Self::Keys => "keys",
        }
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for LayerName {
    type Err = UnknownLayer;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|layer| layer.as_str() == text).ok_or(UnknownLayer)
    }
}

/// The text given is not the name of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown layer: the layers are database, cache, queues, cluster and keys")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct UnknownLayer;

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The product, as "PostgreSQL".
    pub product: String,
    /// Its version, as "17.10"; empty where the server does not say.
    pub version: String,
    /// Where it was reached, without credentials.
    pub endpoint: String,
    /// What else a reader of a report should know: the isolation mode, what was counted.
    pub detail: String,
}

impl Health {
    /// A product in a version at an endpoint.
    pub fn new(
        product: impl Into<String>,
        version: impl Into<String>,
        endpoint: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            product: product.into(),
            version: version.into(),
            endpoint: endpoint.into(),
            detail: detail.into(),
        }
    }
}

/// Why a layer could not do what the facade asked of it.
///
/// The cause is the layer's own error, which names the rule and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{layer}: {action} failed")]
pub struct LayerError {
    layer: LayerName,
    action: Cow<'static, str>,
    kind: LayerErrorKind,
    source: BoxError,
}

impl LayerError {
    /// An error of `layer` while doing `action`, which reads as a noun phrase: "provisioning".
    pub fn new(
        layer: LayerName,
        action: impl Into<Cow<'static, str>>,
        kind: LayerErrorKind,
        source: impl Into<BoxError>,
    ) -> Self {
        Self { layer, action: action.into(), kind, source: source.into() }
    }

    /// Returns the layer.
    pub fn layer(&self) -> LayerName {
        self.layer
    }

    /// Returns what kind of error it is.
    pub fn kind(&self) -> LayerErrorKind {
        self.kind
    }
}

/// What a caller can do about a [`LayerError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerErrorKind {
    /// The server answered with an error of its own. Retrying may help.
    Failed,
    /// A rule of ours was broken: by the input, the configuration, or what the server holds.
    /// Retrying does not help.
    Refused,
    /// The server did not answer, or refused the credentials.
    Unreachable,
}
