use cupel_kms::{AwsKms, LocalKeyring, ScopedKeys, TenantKeys, TenantKeysBuilder, Unlock};
use cupel_tenant::LayerName;

use crate::config::KeysConfig;
use crate::{Config, Error, IsolationBuilder, Tenant, layers};

/// Connects `[keys]`, if it is there.
pub(crate) async fn connect(config: &Config) -> Result<Option<TenantKeys>, Error> {
    let Some(section) = &config.keys else { return Ok(None) };
    let production = config.environment.is_production();
    if production && matches!(section, KeysConfig::LocalKeyring { .. }) {
        // Before the file is opened, which would make it.
        return Err(Error::Setting {
            key: "keys.provider",
            problem: "a local keyring is refused in production".to_owned(),
            remedy: "use 'aws-kms', or set environment = 'development'".to_owned(),
        });
    }
    let connected = match open(section, production).await {
        Ok(builder) => builder.production(production).build(),
        Err(error) => Err(error),
    };
    connected.map(Some).map_err(|error| layers::connecting(LayerName::Keys, error.kind(), error))
}

async fn open(
    section: &KeysConfig,
    production: bool,
) -> Result<TenantKeysBuilder, cupel_kms::Error> {
    match section {
        KeysConfig::AwsKms { region, endpoint, access_key_id, secret_access_key } => {
            let mut builder = AwsKms::builder().allow_plaintext(!production);
            if let Some(region) = region {
                builder = builder.region(region);
            }
            if let Some(endpoint) = endpoint {
                builder = builder.endpoint(endpoint);
            }
            if let (Some(id), Some(secret)) = (access_key_id, secret_access_key) {
                builder = builder.credentials(id, secret.clone());
            }
            Ok(TenantKeys::builder(builder.connect().await?))
        }
        KeysConfig::LocalKeyring { path, passphrase } => {
            let unlock = match passphrase {
                Some(passphrase) => Unlock::Passphrase(passphrase.clone()),
                None => Unlock::KeyFile(path.with_extension("key")),
            };
            Ok(TenantKeys::builder(LocalKeyring::open(path, unlock).await?))
        }
    }
}

impl Tenant {
    /// The tenant's keys.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfigured`].
    pub fn keys(&self) -> Result<ScopedKeys, Error> {
        let keys = self.layers.keys.as_ref();
        let keys = keys.ok_or(Error::NotConfigured { layer: LayerName::Keys })?;
        Ok(keys.scoped(self.scope()))
    }
}

impl IsolationBuilder {
    /// Takes a connected key service.
    pub fn keys(mut self, keys: TenantKeys) -> Self {
        self.layers.keys = Some(keys);
        self
    }
}
