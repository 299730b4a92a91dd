use cupel_queues::{ScopedQueues, TenantQueues, Work, WorkerHandle, WorkerLimits};
use cupel_tenant::{LayerError, LayerName, OrgId, Tier};

use crate::{Config, Error, Isolation, IsolationBuilder, Tenant, layers};

/// Connects `[queues]`, if it is there.
pub(crate) async fn connect(config: &Config) -> Result<Option<TenantQueues>, Error> {
    let Some(section) = &config.queues else { return Ok(None) };
    let mut builder = TenantQueues::builder(&section.address, &section.namespace);
    if !config.environment.is_production() {
        builder = builder.allow_plaintext();
    }
    let connected = builder.connect().await;
    connected.map(Some).map_err(|error| layers::connecting(LayerName::Queues, error.kind(), error))
}

impl Tenant {
    /// The tenant's part of Temporal.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfigured`].
    pub fn queues(&self) -> Result<ScopedQueues, Error> {
        let queues = self.layers.queues.as_ref();
        let queues = queues.ok_or(Error::NotConfigured { layer: LayerName::Queues })?;
        Ok(queues.scoped(self.scope()))
    }
}

impl IsolationBuilder {
    /// Takes a connected Temporal.
    pub fn queues(mut self, queues: TenantQueues) -> Self {
        self.layers.queues = Some(queues);
        self
    }
}

impl Isolation {
    /// Starts a worker of one organization, with the limits of its tier (`max_open_runs`).
    ///
    /// Without a registry the tier is [`Tier::STANDARD`].
    ///
    /// # Errors
    ///
    /// [`Error::NotConfigured`]; [`Error::Unknown`]; [`Error::Layer`] if the organization is suspended or
    /// the worker cannot start.
    pub async fn worker(
        &self,
        org: &OrgId,
        work: impl FnOnce(Work) -> Work,
    ) -> Result<WorkerHandle, Error> {
        let queues = self.layers.queues.as_ref();
        let queues = queues.ok_or(Error::NotConfigured { layer: LayerName::Queues })?;
        let tier = match self.registry {
            Some(_) => self.record(org).await?.tier,
            None => Tier::STANDARD,
        };
        let limits = match self.max_open_runs.get(&tier) {
            Some(max) => WorkerLimits { max_concurrent_runs: *max, ..queues.limits() },
            None => queues.limits(),
        };
        queues.worker(org, limits, work).await.map_err(|error| {
            Error::Layer(LayerError::new(
                LayerName::Queues,
                "starting a worker",
                error.kind(),
                error,
            ))
        })
    }
}
