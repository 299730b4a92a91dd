//! Identities of organizations, and the vocabulary of isolation between them.
//!
//! An [`OrgId`] that exists is a name that every cupel layer can put, unescaped, into a PostgreSQL
//! setting, a Redis key, a Temporal task queue, a Kubernetes label or a KMS encryption context.
//! Checking happens once, where text enters the program; nothing downstream checks again. A
//! [`TenantScope`] says whose data is touched and who is acting, and every store is reached through
//! one.
//!
//! ```
//! use cupel_tenant::{Actor, OrgId, TenantScope};
//!
//! let acme: OrgId = "acme-corp".parse()?;
//! let scope = TenantScope::org(acme).acting_as(Actor::new("alice@acme.example")?);
//! assert_eq!(scope.org_id().as_str(), "acme-corp");
//!
//! // No separator that a backend joins names with is in the alphabet.
//! assert!("acme:corp".parse::<OrgId>().is_err());
//!
//! // A scope narrows, and never widens.
//! let analytics = scope.narrow_to("analytics".parse()?)?;
//! assert_eq!(analytics.workspace_id().map(|id| id.as_str()), Some("analytics"));
//! assert!(analytics.narrow_to("finance".parse()?).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a layer is
//!
//! [`IsolationLayer`] is what the five layers (database, cache, queues, cluster, keys) have in
//! common: provision an organization, audit, [prove](IsolationLayer::prove) by attacking, suspend,
//! resume, erase. An [`Attempt`] is one attack with its control; it cannot be `Blocked` unless the
//! same act by the rightful owner succeeded.
//!
//! # What this crate does not do
//!
//! It performs no I/O, spawns nothing and knows no backend. Whether an organization *exists*, or
//! whether the caller may act for it, is the question of a [`Registry`] and of the application.
//!
//! # Crate features
//!
//! - `serde`: `Serialize` for identifiers and reports, and a `Deserialize` of identifiers that
//!   validates. Off by default.

mod actor;
mod attempt;
mod erasure;
mod finding;
mod identifier;
mod layer;
mod org;
mod org_id;
mod registry;
mod scope;
mod tier;
mod workspace_id;

pub use actor::{Actor, InvalidActor};
pub use attempt::{Attack, Attempt, Control, Observed, Outcome};
pub use erasure::{Changes, Erased, Erasure};
pub use finding::{Finding, Severity};
pub use identifier::IdRule;
pub use layer::{
    BoxError, Health, IsolationLayer, LayerError, LayerErrorKind, LayerName, UnknownLayer,
};
pub use org::{OrgPair, OrgSpec, SameOrg};
pub use org_id::{InvalidOrgId, OrgId};
pub use registry::{OrgRecord, OrgState, Registry, UnknownState};
pub use scope::{AlreadyNarrowed, TenantScope};
pub use tier::{InvalidTier, Tier};
pub use workspace_id::{InvalidWorkspaceId, WorkspaceId};
