use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cupel_tenant::{IsolationLayer, LayerName, OrgRecord, OrgState, Registry, TenantScope, Tier};

use crate::layers::Layers;
use crate::lifecycle::refused;
use crate::progress::{Observer, Step};
use crate::{Environment, Error, IsolationBuilder, Tenant};

/// The configured layers of one service, and what is done over all of them.
///
/// Cloning is cheap: the layers are shared.
#[derive(Clone)]
pub struct Isolation {
    pub(crate) layers: Arc<Layers>,
    pub(crate) registry: Option<Arc<dyn Registry>>,
    pub(crate) environment: Environment,
    pub(crate) observer: Option<Observer>,
    /// How many runs the worker of an organization of a tier advances at a time.
    pub(crate) max_open_runs: BTreeMap<Tier, usize>,
}

impl Isolation {
    /// Starts from layers that were connected by hand. See [`Isolation::from_config`] for the other
    /// way.
    pub fn builder() -> IsolationBuilder {
        IsolationBuilder::default()
    }

    /// Enters a scope: the handles of one tenant, in every configured layer.
    ///
    /// With a registry, one look-up; nothing else is touched until a handle is used.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] or [`Error::State`] unless the organization is active, [`Error::Layer`] if
    /// the registry cannot be read.
    pub async fn enter(&self, scope: TenantScope) -> Result<Tenant, Error> {
        if self.registry.is_some() {
            let org = scope.org_id();
            let record = self.record(org).await?;
            if record.state != OrgState::Active {
                return Err(refused(org, record.state));
            }
        }
        Ok(Tenant::new(scope, Arc::clone(&self.layers)))
    }

    /// Returns the organizations of the registry, ordered by id.
    ///
    /// # Errors
    ///
    /// [`Error::NoRegistry`], or [`Error::Layer`] if the registry cannot be read.
    pub async fn list(&self) -> Result<Vec<OrgRecord>, Error> {
        Ok(self.registry()?.list().await?)
    }

    /// Returns where the service runs.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// Returns which layers are configured, in the order of reports.
    pub fn configured(&self) -> Vec<LayerName> {
        self.layers.iter().map(|layer| layer.name()).collect()
    }

    pub(crate) fn registry(&self) -> Result<&Arc<dyn Registry>, Error> {
        self.registry.as_ref().ok_or(Error::NoRegistry)
    }

    pub(crate) async fn record(&self, org: &cupel_tenant::OrgId) -> Result<OrgRecord, Error> {
        let record = self.registry()?.find(org).await?;
        record.ok_or_else(|| Error::Unknown { org: org.clone() })
    }

    pub(crate) fn layer_list(&self) -> Vec<Arc<dyn IsolationLayer>> {
        self.layers.iter().collect()
    }

    pub(crate) fn tell(&self, step: Step<'_>) {
        tracing::info!(layer = step.layer.as_str(), org = %step.org, "{}", step.action);
        if let Some(observer) = &self.observer {
            observer(step);
        }
    }
}

impl fmt::Debug for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolation")
            .field("environment", &self.environment)
            .field("layers", &self.configured())
            .field("registry", &self.registry.is_some())
            .finish()
    }
}
