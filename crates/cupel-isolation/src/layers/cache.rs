use cupel_rediskey::{CacheIsolation, ScopedCache, TenantCache};
use cupel_tenant::LayerName;
use secrecy::ExposeSecret;

use crate::config::CacheIsolationName;
use crate::{Config, Error, IsolationBuilder, Tenant, layers};

/// Connects `[cache]`, if it is there.
pub(crate) async fn connect(config: &Config) -> Result<Option<TenantCache>, Error> {
    let Some(section) = &config.cache else { return Ok(None) };
    let connected = TenantCache::builder(section.url.expose_secret())
        .isolation(match section.isolation {
            CacheIsolationName::Acl => CacheIsolation::Acl,
            CacheIsolationName::Prefix => CacheIsolation::Prefix,
        })
        .allow_plaintext(!config.environment.is_production())
        .connect()
        .await;
    connected.map(Some).map_err(|error| layers::connecting(LayerName::Cache, error.kind(), error))
}

impl Tenant {
    /// The tenant's part of Redis.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfigured`].
    pub fn cache(&self) -> Result<ScopedCache, Error> {
        let cache = self.layers.cache.as_ref();
        let cache = cache.ok_or(Error::NotConfigured { layer: LayerName::Cache })?;
        Ok(cache.scoped(self.scope()))
    }
}

impl IsolationBuilder {
    /// Takes a connected cache.
    pub fn cache(mut self, cache: TenantCache) -> Self {
        self.layers.cache = Some(cache);
        self
    }
}
