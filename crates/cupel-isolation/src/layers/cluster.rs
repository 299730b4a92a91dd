use cupel_k8s_iso::{
    Blueprint, ClusterConfig as Place, ControlPlane, InvalidQuantity, Resources, ScopedCluster,
    TenantCluster, TierLimits,
};
use cupel_tenant::{LayerName, Tier};

use crate::config::{ResourceConfig, TierConfig};
use crate::{Config, Error, IsolationBuilder, Tenant, layers};

/// Connects `[cluster]`, if it is there.
pub(crate) async fn connect(config: &Config) -> Result<Option<TenantCluster>, Error> {
    let Some(section) = &config.cluster else { return Ok(None) };
    let mut place = match &section.kubeconfig {
        Some(path) => Place::from_file(path),
        None => Place::inferred(),
    };
    if let Some(context) = &section.context {
        place = place.context(context);
    }
    let connected = TenantCluster::connect(place, blueprint(config)?).await;
    connected.map(Some).map_err(|error| layers::connecting(LayerName::Cluster, error.kind(), error))
}

/// What the configuration says of namespaces. Needs no cluster.
pub(crate) fn blueprint(config: &Config) -> Result<Blueprint, Error> {
    let mut blueprint = Blueprint::default();
    for (tier, section) in &config.tiers {
        let limits = limits(tier, section).map_err(|rule| Error::Setting {
            key: "tiers",
            problem: format!("{tier}: {rule}"),
            remedy: "write a Kubernetes quantity, as '500m' or '128Gi'".to_owned(),
        })?;
        blueprint = blueprint.tier(tier.clone(), limits);
    }
    if let Some(section) = &config.cluster {
        blueprint = blueprint.managers(&section.managers);
    }
    for namespace in config.cluster.iter().flat_map(|section| &section.control_plane) {
        blueprint = blueprint.control_plane(ControlPlane::new(namespace));
    }
    Ok(blueprint)
}

fn limits(tier: &Tier, section: &TierConfig) -> Result<TierLimits, InvalidQuantity> {
    let parse = |it: &ResourceConfig| Resources::parse(&it.cpu, &it.memory);
    let base =
        if *tier == Tier::ENTERPRISE { TierLimits::enterprise() } else { TierLimits::standard() };
    Ok(TierLimits {
        requests: section.requests.as_ref().map(parse).transpose()?.unwrap_or(base.requests),
        limits: section.limits.as_ref().map(parse).transpose()?.unwrap_or(base.limits),
        pods: section.pods.unwrap_or(base.pods),
        ..base
    })
}

impl Tenant {
    /// The tenant's part of Kubernetes.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfigured`].
    pub fn cluster(&self) -> Result<ScopedCluster, Error> {
        let cluster = self.layers.cluster.as_ref();
        let cluster = cluster.ok_or(Error::NotConfigured { layer: LayerName::Cluster })?;
        Ok(cluster.scoped(self.scope()))
    }
}

impl IsolationBuilder {
    /// Takes a connected cluster.
    pub fn cluster(mut self, cluster: TenantCluster) -> Self {
        self.layers.cluster = Some(cluster);
        self
    }
}
