//! The layers of this build: one file each, behind the feature of its name.

#[cfg(feature = "cache")]
mod cache;
#[cfg(feature = "cluster")]
pub(crate) mod cluster;
#[cfg(feature = "database")]
pub(crate) mod database;
#[cfg(feature = "keys")]
mod keys;
#[cfg(feature = "queues")]
mod queues;

use std::sync::Arc;

use cupel_tenant::{BoxError, IsolationLayer, LayerError, LayerErrorKind, LayerName, Registry};

use crate::{Config, Error};

/// The configured layers, each as its own type: handles need it.
#[derive(Default)]
pub(crate) struct Layers {
    #[cfg(feature = "cache")]
    pub(crate) cache: Option<cupel_rediskey::TenantCache>,
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<cupel_k8s_iso::TenantCluster>,
    #[cfg(feature = "database")]
    pub(crate) database: Option<cupel_tenant_db::TenantDb>,
    #[cfg(feature = "keys")]
    pub(crate) keys: Option<cupel_kms::TenantKeys>,
    #[cfg(feature = "queues")]
    pub(crate) queues: Option<cupel_queues::TenantQueues>,
}

impl Layers {
    /// The configured layers as what they have in common, in the order of reports.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arc<dyn IsolationLayer>> {
        let mut list: Vec<Arc<dyn IsolationLayer>> = Vec::new();
        #[cfg(feature = "database")]
        list.extend(self.database.iter().map(|it| Arc::new(it.clone()) as _));
        #[cfg(feature = "cache")]
        list.extend(self.cache.iter().map(|it| Arc::new(it.clone()) as _));
        #[cfg(feature = "queues")]
        list.extend(self.queues.iter().map(|it| Arc::new(it.clone()) as _));
        #[cfg(feature = "cluster")]
        list.extend(self.cluster.iter().map(|it| Arc::new(it.clone()) as _));
        #[cfg(feature = "keys")]
        list.extend(self.keys.iter().map(|it| Arc::new(it.clone()) as _));
        list.sort_by_key(|layer| layer.name());
        list.into_iter()
    }

    /// The registry that the database layer brings, if it has an admin path.
    pub(crate) fn registry(&self) -> Option<Arc<dyn Registry>> {
        #[cfg(feature = "database")]
        if let Some(registry) = self.database.as_ref().and_then(|db| db.registry()) {
            return Some(Arc::new(registry));
        }
        None
    }
}

/// Connects every configured layer.
pub(crate) async fn connect(config: &Config) -> Result<Layers, Error> {
    refuse_what_is_not_compiled(config)?;
    Ok(Layers {
        #[cfg(feature = "cache")]
        cache: cache::connect(config).await?,
        #[cfg(feature = "cluster")]
        cluster: cluster::connect(config).await?,
        #[cfg(feature = "database")]
        database: database::connect(config).await?,
        #[cfg(feature = "keys")]
        keys: keys::connect(config).await?,
        #[cfg(feature = "queues")]
        queues: queues::connect(config).await?,
    })
}

/// Connects one layer, if it is configured.
pub(crate) async fn connect_one(
    name: LayerName,
    config: &Config,
) -> Result<Option<Arc<dyn IsolationLayer>>, Error> {
    refuse_what_is_not_compiled(config)?;
    Ok(match name {
        #[cfg(feature = "cache")]
        LayerName::Cache => cache::connect(config).await?.map(|it| Arc::new(it) as _),
        #[cfg(feature = "cluster")]
        LayerName::Cluster => cluster::connect(config).await?.map(|it| Arc::new(it) as _),
        #[cfg(feature = "database")]
        LayerName::Database => database::connect(config).await?.map(|it| Arc::new(it) as _),
        #[cfg(feature = "keys")]
        LayerName::Keys => keys::connect(config).await?.map(|it| Arc::new(it) as _),
        #[cfg(feature = "queues")]
        LayerName::Queues => queues::connect(config).await?.map(|it| Arc::new(it) as _),
        #[cfg_attr(
            all(
                feature = "cache",
                feature = "cluster",
                feature = "database",
                feature = "keys",
                feature = "queues"
            ),
            expect(unreachable_patterns, reason = "reached where a feature is off")
        )]
        _ => None,
    })
}

fn refuse_what_is_not_compiled(config: &Config) -> Result<(), Error> {
    let compiled = |layer| match layer {
        LayerName::Cache => cfg!(feature = "cache"),
        LayerName::Cluster => cfg!(feature = "cluster"),
        LayerName::Database => cfg!(feature = "database"),
        LayerName::Keys => cfg!(feature = "keys"),
        LayerName::Queues => cfg!(feature = "queues"),
    };
    match LayerName::ALL.into_iter().find(|layer| config.has(*layer) && !compiled(*layer)) {
        Some(layer) => Err(Error::NotCompiled { layer }),
        None => Ok(()),
    }
}

/// A layer's own error while it is connected.
#[cfg_attr(
    not(any(
        feature = "cache",
        feature = "cluster",
        feature = "database",
        feature = "keys",
        feature = "queues"
    )),
    expect(dead_code, reason = "called where a layer is compiled in")
)]
fn connecting(layer: LayerName, kind: LayerErrorKind, source: impl Into<BoxError>) -> Error {
    Error::Layer(LayerError::new(layer, "connecting", kind, source))
}

/// A layer's own error while it is asked for what only it has.
#[cfg(feature = "database")]
pub(crate) fn doing(
    layer: LayerName,
    action: &'static str,
    kind: LayerErrorKind,
    source: impl Into<BoxError>,
) -> Error {
    Error::Layer(LayerError::new(layer, action, kind, source))
}
