//! What `cupel render` does: Kubernetes objects as YAML, without a cluster.

use cupel_tenant::{LayerError, LayerName, OrgSpec};

use crate::{Config, Error, layers};

/// Returns the objects of one organization.
///
/// # Errors
///
/// [`Error::Setting`] if a tier's quantity is not one; [`Error::Layer`] for a tier that is not
/// configured.
pub fn org(config: &Config, spec: &OrgSpec) -> Result<String, Error> {
    let blueprint = layers::cluster::blueprint(config)?;
    let objects = cupel_k8s_iso::render(spec, &blueprint).map_err(failed)?;
    Ok(objects.to_yaml())
}

/// Returns the admission guards, which are one set for the whole cluster.
///
/// # Errors
///
/// As for [`org`].
pub fn guards(config: &Config) -> Result<String, Error> {
    let blueprint = layers::cluster::blueprint(config)?;
    Ok(cupel_k8s_iso::guards(&blueprint).map_err(failed)?.to_yaml())
}

fn failed(error: cupel_k8s_iso::Error) -> Error {
    Error::Layer(LayerError::new(LayerName::Cluster, "rendering", error.kind(), error))
}
