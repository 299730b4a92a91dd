//! What `cupel migrate` does: roles, policies and tables that isolation in PostgreSQL needs.

use std::fs;
use std::path::Path;

use cupel_tenant::{Changes, LayerName};
use cupel_tenant_db::{Declaration, Migration, Table};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{DatabaseConfig, TableKindName};
use crate::{Config, Error, layers};

/// Brings the database of `[database]` to what its section declares. Returns what changed; a second
/// run changes nothing.
///
/// # Errors
///
/// [`Error::NotConfigured`]; [`Error::Setting`] without an owner URL; [`Error::Layer`] if the server
/// does not answer or a declared table is not as isolation needs it.
pub async fn run(config: &Config) -> Result<Changes, Error> {
    let migration = migration(config)?;
    migration.run().await.map_err(|error| failed(error.kind(), error))
}

/// Returns the SQL that [`run`] would execute on an empty database. Needs none; passwords are left
/// out.
///
/// # Errors
///
/// As for [`run`], as far as no server is asked.
pub fn sql(config: &Config) -> Result<String, Error> {
    migration(config)?.sql().map_err(|error| failed(error.kind(), error))
}

/// The tables that the section declares, in itself or in a file.
///
/// # Errors
///
/// [`Error::Setting`] if it does both, or the file cannot be read or understood.
pub(crate) fn tables(section: &DatabaseConfig) -> Result<Vec<Table>, Error> {
    let Some(path) = &section.declaration else {
        let table = |(name, kind): (&String, &TableKindName)| match kind {
            TableKindName::Global => Table::global(name),
            TableKindName::Org => Table::org(name),
            TableKindName::Shared => Table::shared(name),
            TableKindName::Workspace => Table::workspace(name),
            TableKindName::Separate => Table::separate(name),
        };
        return Ok(section.tables.iter().map(table).collect());
    };
    if !section.tables.is_empty() {
        return Err(wrong(
            "there is [database.tables] too".to_owned(),
            "move the tables into the file, or leave the file out",
        ));
    }
    declared_in(path)
}

/// The tables that the file declares.
///
/// # Errors
///
/// [`Error::Setting`] if it cannot be read or understood.
pub(crate) fn declared_in(path: &Path) -> Result<Vec<Table>, Error> {
    let text = fs::read_to_string(path).map_err(|error| {
        wrong(format!("{} cannot be read: {error}", path.display()), "correct the path")
    })?;
    let declaration: Result<Declaration, _> = text.parse();
    let declaration = declaration
        .map_err(|error| wrong(format!("{}: {error}", path.display()), "correct the file"))?;
    Ok(declaration.into_iter().collect())
}

fn wrong(problem: String, remedy: &str) -> Error {
    Error::Setting { key: "database.declaration", problem, remedy: remedy.to_owned() }
}

fn failed(kind: cupel_tenant::LayerErrorKind, error: cupel_tenant_db::Error) -> Error {
    Error::Layer(cupel_tenant::LayerError::new(LayerName::Database, "migrating", kind, error))
}

pub(crate) fn migration(config: &Config) -> Result<Migration, Error> {
    let section = config.database.as_ref();
    let section = section.ok_or(Error::NotConfigured { layer: LayerName::Database })?;
    let owner_url = section.owner_url.as_ref().ok_or(Error::Setting {
        key: "database.owner_url",
        problem: "it is missing, and only the owner can migrate".to_owned(),
        remedy: "set it, or CUPEL_DATABASE__OWNER_URL".to_owned(),
    })?;
    let mut migration = Migration::new(owner_url.expose_secret())
        .app_url(section.url.expose_secret())
        .allow_plaintext(!config.environment.is_production())
        .context(layers::database::context_mode(section.context))
        .strict(section.strict)
        .column_type(layers::database::column_type(section.column_type));
    let keys = [
        layers::database::seal_key("database.seal_key", section.seal_key.as_ref())?,
        layers::database::seal_key(
            "database.previous_seal_key",
            section.previous_seal_key.as_ref(),
        )?,
    ];
    migration = migration.seal_keys(keys.into_iter().flatten());
    if let Some(admin_url) = section.admin_url.as_ref().map(SecretString::expose_secret) {
        migration = migration.admin_url(admin_url);
    }
    Ok(migration.tables(tables(section)?))
}
