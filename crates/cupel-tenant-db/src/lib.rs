//! PostgreSQL transactions that belong to one organization.
//!
//! The rows of all organizations stand in the same tables, and the server keeps them apart by
//! row-level security: a transaction names its organization as it opens, in the same round trip as
//! `BEGIN`, and sees no other. No query repeats the organization, so none can forget it.
//!
//! ```no_run
//! use cupel_tenant::{OrgId, TenantScope};
//! use cupel_tenant_db::TenantDb;
//!
//! # async fn example(url: &str, claim: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let db = TenantDb::connect(url).await?; // refuses a role that could reach around the isolation
//!
//! let acme: OrgId = claim.parse()?;
//! let mut tx = db.begin(&TenantScope::org(acme)).await?;
//! let names: Vec<String> = sqlx::query_scalar("SELECT name FROM pipelines ORDER BY name")
//!     .fetch_all(&mut tx) // no WHERE org_id: the server adds it
//!     .await?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The tables are the service's own. It declares whose their rows are, once, and a [`Migration`] makes
//! the rest:
//!
//! ```
//! use cupel_tenant_db::Table;
//!
//! /// For `examples/pipelines/schema.sql`.
//! fn tables() -> Vec<Table> {
//!     vec![
//!         Table::org("pipelines"),
//!         Table::workspace("pipeline_runs"),
//!         Table::workspace("quality_results"),
//!         Table::shared("component_libraries"),
//!         Table::shared("data_products"),
//!     ]
//! }
//! # assert_eq!(tables().len(), 5);
//! ```
//!
//! [`TenantDb`] is an [`IsolationLayer`](cupel_tenant::IsolationLayer): it proves on the live database
//! that it holds, and audits it for what would let it break.
//!
//! # What this crate does not do
//!
//! It makes no tables, writes no queries and hides none of SQL. It does not decide who may act for an
//! organization. In the plain context, which is the default, SQL that sets the organization itself is
//! believed: [`ContextMode`] says what each context holds off.
//!
//! # Crate features
//!
//! None.

mod access_log;
mod admin;
mod admitted;
mod adoption;
mod apply;
mod audit;
mod builder;
mod catalog;
mod context;
pub mod danger;
mod db;
mod declaration;
mod erase;
mod error;
mod fit;
mod grant;
mod keys;
mod layer;
mod lease;
mod login;
mod look;
mod migration;
mod options;
mod pieces;
mod pool;
mod power;
mod prove;
mod registry;
mod schema;
mod scoped;
mod seal;
mod shape;
mod statement;
mod states;
mod trace;
mod tx;
mod watched;
mod work;

pub use access_log::AccessLog;
pub use admin::AdminTx;
pub use adoption::{Adopted, Adoption, AdoptionStep, Phase, Violations};
pub use audit::{Audit, AuditReport, PolicyCheck};
pub use builder::TenantDbBuilder;
pub use context::{ColumnType, ContextMode};
pub use db::TenantDb;
pub use declaration::Declaration;
pub use error::Error;
pub use grant::{AdminGrant, Ready, WantsOrgs};
pub use migration::Migration;
pub use options::{IsolationLevel, TxOptions};
pub use registry::DbRegistry;
pub use schema::{ORG_COLUMN, Table, TableKind, WORKSPACE_COLUMN};
pub use scoped::ScopedDb;
pub use seal::{InvalidSealKey, SealKey};
pub use tx::TenantTx;
