use cupel_tenant::LayerName;
use cupel_tenant_db::{ColumnType, ContextMode, InvalidSealKey, ScopedDb, SealKey, TenantDb};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{ColumnTypeName, ContextName};
use crate::{Config, Error, IsolationBuilder, Tenant, layers};

/// Connects `[database]`, if it is there.
pub(crate) async fn connect(config: &Config) -> Result<Option<TenantDb>, Error> {
    let Some(section) = &config.database else { return Ok(None) };
    let development = !config.environment.is_production();
    let mut builder = TenantDb::builder(section.url.expose_secret())
        .context(context_mode(section.context))
        .behind_pooler(section.behind_pooler)
        .allow_plaintext(development)
        .allow_critical_findings(section.allow_critical_findings.unwrap_or(development));
    if let Some(admin_url) = &section.admin_url {
        builder = builder.admin_url(admin_url.expose_secret());
    }
    if let Some(key) = seal_key("database.seal_key", section.seal_key.as_ref())? {
        builder = builder.seal_key(key);
    }
    if let Some(max) = section.max_connections {
        builder = builder.max_connections(max);
    }
    let connected = builder.connect().await;
    connected
        .map(Some)
        .map_err(|error| layers::connecting(LayerName::Database, error.kind(), error))
}

pub(crate) fn context_mode(name: ContextName) -> ContextMode {
    match name {
        ContextName::Plain => ContextMode::Plain,
        ContextName::Register => ContextMode::Register,
        ContextName::Sealed => ContextMode::Sealed,
    }
}

pub(crate) fn seal_key(
    key: &'static str,
    text: Option<&SecretString>,
) -> Result<Option<SealKey>, Error> {
    let parse = |text: &SecretString| text.expose_secret().parse();
    text.map(parse).transpose().map_err(|error: InvalidSealKey| Error::Setting {
        key,
        problem: "it is no seal key".to_owned(),
        remedy: error.to_string(),
    })
}

pub(crate) fn column_type(name: ColumnTypeName) -> ColumnType {
    match name {
        ColumnTypeName::Text => ColumnType::Text,
        ColumnTypeName::Uuid => ColumnType::Uuid,
    }
}

impl Tenant {
    /// The tenant's part of PostgreSQL.
    ///
    /// # Errors
    ///
    /// [`Error::NotConfigured`].
    pub fn database(&self) -> Result<ScopedDb, Error> {
        let database = self.layers.database.as_ref();
        let database = database.ok_or(Error::NotConfigured { layer: LayerName::Database })?;
        Ok(database.scoped(self.scope()))
    }
}

impl IsolationBuilder {
    /// Takes a connected database. One with an admin URL brings the registry of organizations too.
    pub fn database(mut self, database: TenantDb) -> Self {
        self.layers.database = Some(database);
        self
    }
}
