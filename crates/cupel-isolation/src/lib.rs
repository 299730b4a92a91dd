//! One scope as the only door to every store, over all the layers of a service.
//!
//! [`Isolation`] holds the layers that are configured: database, cache, queues, cluster, keys. It
//! onboards organizations into all of them and takes them out again, lets a service
//! [enter](Isolation::enter) a scope and use each layer's handle, and [proves](Isolation::prove) on the
//! live system that no organization reaches another, by attacking with two canaries.
//!
//! ```no_run
//! use cupel_isolation::{Actor, Isolation, OrgSpec, TenantScope, Tier};
//!
//! # async fn service() -> Result<(), Box<dyn std::error::Error>> {
//! let isolation = Isolation::from_config("cupel.toml").await?;
//!
//! let acme = "acme-corp".parse()?;
//! isolation.onboard(OrgSpec::new(acme, Tier::ENTERPRISE)).await?; // run it again after a crash
//!
//! let scope = TenantScope::org("acme-corp".parse()?).acting_as(Actor::new("alice")?);
//! let tenant = isolation.enter(scope).await?; // refuses unknown, suspended and erased organizations
//! # #[cfg(feature = "database")]
//! let mut tx = tenant.database()?.begin().await?; // a layer that is not configured is a typed error
//!
//! let proof = isolation.prove().await?;
//! assert!(proof.is_isolated());
//! # Ok(())
//! # }
//! ```
//!
//! The facade adds and is never required: each layer is a crate that works alone.
//!
//! # What this crate does not do
//!
//! It authenticates nobody: a scope is made by the service, after it knows who is calling. It holds no
//! client of its own; what a handle does, its layer's crate does.
//!
//! # Crate features
//!
//! - `database`: PostgreSQL, through `cupel-tenant-db`.
//! - `cache`: Redis, through `cupel-rediskey`.
//! - `queues`: Temporal, through `cupel-queues`.
//! - `cluster`: Kubernetes, through `cupel-k8s-iso`. Whoever builds the final program chooses the
//!   version of `k8s-openapi` by a feature of that crate, as `v1_35`.
//! - `keys`: AWS KMS or a local keyring, through `cupel-kms`.

#[cfg(feature = "database")]
pub mod access_log;
#[cfg(feature = "database")]
pub mod adopt;
#[cfg(feature = "database")]
pub mod audit;
mod builder;
mod canaries;
mod config;
mod doctor;
mod environment;
mod error;
mod isolation;
mod layers;
mod lifecycle;
#[cfg(feature = "database")]
pub mod migrate;
mod progress;
mod prove;
#[cfg(feature = "cluster")]
pub mod render;
pub mod report;
mod tenant;

#[cfg(feature = "cluster")]
pub use cupel_k8s_iso as cluster;
#[cfg(feature = "keys")]
pub use cupel_kms as keys;
#[cfg(feature = "queues")]
pub use cupel_queues as queues;
#[cfg(feature = "cache")]
pub use cupel_rediskey as cache;
pub use cupel_tenant::{
    Actor, Attempt, Control, Erased, Finding, Health, InvalidActor, InvalidOrgId,
    InvalidWorkspaceId, IsolationLayer, LayerError, LayerErrorKind, LayerName, OrgId, OrgPair,
    OrgRecord, OrgSpec, OrgState, Outcome, Registry, Severity, TenantScope, Tier, WorkspaceId,
};
#[cfg(feature = "database")]
pub use cupel_tenant_db as database;

pub use builder::IsolationBuilder;
pub use canaries::Leftover;
pub use config::{
    CacheConfig, CacheIsolationName, ClusterConfig, ColumnTypeName, Config, ContextName,
    DatabaseConfig, KeysConfig, QueuesConfig, ResourceConfig, TableKindName, TierConfig,
};
pub use doctor::{Checkup, examine};
pub use environment::Environment;
pub use error::Error;
pub use isolation::Isolation;
pub use lifecycle::{Certificate, Onboarded};
pub use progress::{Observer, Step};
pub use prove::Proof;
pub use tenant::Tenant;
