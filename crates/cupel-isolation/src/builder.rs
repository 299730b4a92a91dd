use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cupel_tenant::{Registry, Tier};

use crate::layers::Layers;
use crate::progress::Observer;
use crate::{Config, Environment, Error, Isolation, layers};

/// Puts an [`Isolation`] together from layers that were connected by hand.
///
/// Each layer has a method of its name, which its feature brings.
#[derive(Default)]
#[must_use = "a builder does nothing until it is built"]
pub struct IsolationBuilder {
    pub(crate) layers: Layers,
    registry: Option<Arc<dyn Registry>>,
    environment: Environment,
    observer: Option<Observer>,
    max_open_runs: BTreeMap<Tier, usize>,
}

impl IsolationBuilder {
    /// Says where the service runs. Production unless said otherwise.
    pub fn environment(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    /// Takes a registry of organizations. The database layer brings one, if it has an admin URL.
    pub fn registry(self, registry: Arc<dyn Registry>) -> Self {
        Self { registry: Some(registry), ..self }
    }

    /// Tells each step of long work to `observer`.
    pub fn observed_by(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Says how many runs the worker of an organization of `tier` advances at a time.
    pub fn max_open_runs(mut self, tier: Tier, max: usize) -> Self {
        self.max_open_runs.insert(tier, max);
        self
    }

    /// Puts it together. Nothing is connected: the layers already are.
    pub fn build(self) -> Isolation {
        let registry = self.registry.or_else(|| self.layers.registry());
        Isolation {
            layers: Arc::new(self.layers),
            registry,
            environment: self.environment,
            observer: self.observer,
            max_open_runs: self.max_open_runs,
        }
    }
}

impl std::fmt::Debug for IsolationBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IsolationBuilder")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl Isolation {
    /// Connects every layer that a file and the environment configure.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if the configuration cannot be read, and whatever
    /// [`connect`](Self::connect) refuses.
    pub async fn from_config(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::connect(&Config::load(path)?).await
    }

    /// Connects every configured layer.
    ///
    /// # Errors
    ///
    /// [`Error::Layer`] if a server does not answer, refuses the credentials, or lacks what isolation
    /// needs; [`Error::NotCompiled`] for a section whose feature is off; [`Error::Setting`] for a value
    /// that production refuses or a mode that is not built.
    pub async fn connect(config: &Config) -> Result<Self, Error> {
        let layers = layers::connect(config).await?;
        let mut builder = IsolationBuilder { layers, ..Self::builder() };
        for (tier, section) in &config.tiers {
            if let Some(max) = section.max_open_runs {
                builder = builder.max_open_runs(tier.clone(), max);
            }
        }
        Ok(builder.environment(config.environment).build())
    }

    /// Tells each step of long work to `observer`, from now on.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }
}
