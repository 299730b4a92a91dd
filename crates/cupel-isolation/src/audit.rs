//! What `cupel audit` does: reads any PostgreSQL database for what lets one organization reach another.

use std::path::PathBuf;
use std::str::FromStr;

use cupel_tenant::{LayerError, LayerName};
pub use cupel_tenant_db::AuditReport;
use cupel_tenant_db::{Audit, Error as DatabaseError, ORG_COLUMN};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;

use crate::config::DatabaseConfig;
use crate::layers::database::context_mode;
use crate::{Config, Error, migrate};

/// What to audit, where the configuration does not say it or says something else.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Request {
    /// The database. Without it the owner's, the admin's or the application's URL of `[database]`, in this
    /// order.
    pub database_url: Option<SecretString>,
    /// The role that the application connects as. Without it the user of `database.url`, or else of
    /// `database_url`.
    pub app_role: Option<String>,
    /// The role that may reach every organization. Without it the user of `database.admin_url`.
    pub admin_role: Option<String>,
    /// The column that names the organization of a row. Without it `org_id`.
    pub tenant_column: Option<String>,
    /// The setting that names the organization of a transaction. Without it `app.current_org_id`.
    pub context: Option<String>,
    /// Tables that are the same for every organization, beside those that are declared as `global`.
    pub shared: Vec<String>,
    /// A file that declares the tables. Without it those of `[database]`.
    pub declaration: Option<PathBuf>,
    /// Whether a network may be crossed without encryption, or without checking the server's certificate.
    /// In development it may.
    pub allow_plaintext: bool,
}

/// What an audit found, and where.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Audited {
    /// What is wrong. Whoever takes known findings out counts them in `known`.
    pub report: AuditReport,
    /// How many findings were taken out because they are known.
    pub known: usize,
    /// The database and its address, without a password.
    pub database: String,
    /// The role that was asked about.
    pub app_role: String,
    /// The column that names the organization of a row.
    pub tenant_column: String,
    /// How many tables have that column, or the one that is declared for them.
    pub tables: usize,
    /// Whether the tables were declared, each with its column.
    pub declared: bool,
}

/// Audits the database of the request, or else of the configuration. Nothing is changed, and dropped
/// half-way nothing was.
///
/// # Errors
///
/// [`Error::NotConfigured`] if neither names a database; [`Error::NoSuchRole`]; [`Error::NoTenantTables`],
/// for what is not looked at is not found; [`Error::Layer`] if the server does not answer, or its URL is
/// refused.
pub async fn run(config: &Config, request: &Request) -> Result<Audited, Error> {
    let section = config.database.as_ref();
    let url = request.database_url.as_ref().or_else(|| section.map(widest));
    let url = url.ok_or(Error::NotConfigured { layer: LayerName::Database })?;
    let app_role = match (&request.app_role, section) {
        (Some(role), _) => role.clone(),
        (None, Some(section)) => user(&section.url, "app")?,
        (None, None) => user(url, "audit")?,
    };
    let admin_url = section.and_then(|it| it.admin_url.as_ref());
    let admin_role = match (&request.admin_role, admin_url) {
        (Some(role), _) => Some(role.clone()),
        (None, Some(url)) => Some(user(url, "admin")?),
        (None, None) => None,
    };
    let tenant_column = request.tenant_column.as_deref().unwrap_or(ORG_COLUMN);
    let tables = match (&request.declaration, section) {
        (Some(path), _) => migrate::declared_in(path)?,
        (None, Some(section)) => migrate::tables(section)?,
        (None, None) => Vec::new(),
    };
    let declared = !tables.is_empty();
    let mut audit = Audit::new(url.expose_secret())
        .app_role(&app_role)
        .tenant_column(tenant_column)
        .tables(tables)
        .shared(request.shared.iter().cloned())
        .allow_plaintext(request.allow_plaintext || !config.environment.is_production());
    if let Some(role) = &admin_role {
        audit = audit.admin_role(role);
    }
    // Another database than the configured one may be another service's.
    if let Some(section) = section.filter(|_| request.database_url.is_none()) {
        audit = audit.context_mode(context_mode(section.context));
    }
    if let Some(setting) = &request.context {
        audit = audit.context(setting);
    }
    let report = audit.run().await.map_err(|error| match error {
        DatabaseError::NoSuchRole { role } => Error::NoSuchRole { role },
        error => failed(error),
    })?;
    let (tables, is_ours) = (report.tables, report.policies.is_some());
    let tenant_column = tenant_column.to_owned();
    if tables == 0 && !is_ours {
        return Err(Error::NoTenantTables { column: tenant_column });
    }
    let options = options(url, "audit")?;
    Ok(Audited {
        report,
        known: 0,
        database: address(&options),
        app_role,
        tenant_column,
        tables,
        declared,
    })
}

/// The role that sees the most: the declaration is not for everybody to read.
fn widest(section: &DatabaseConfig) -> &SecretString {
    section.owner_url.as_ref().or(section.admin_url.as_ref()).unwrap_or(&section.url)
}

fn options(url: &SecretString, which: &'static str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url.expose_secret());
    options.map_err(|_| failed(DatabaseError::InvalidUrl { which }))
}

fn user(url: &SecretString, which: &'static str) -> Result<String, Error> {
    Ok(options(url, which)?.get_username().to_owned())
}

fn address(options: &PgConnectOptions) -> String {
    let name = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{name} at {}", socket.display()),
        None => format!("{name} at {}:{}", options.get_host(), options.get_port()),
    }
}

fn failed(error: DatabaseError) -> Error {
    Error::Layer(LayerError::new(LayerName::Database, "auditing", error.kind(), error))
}
