//! Temporal task queues that belong to one organization.
//!
//! Every organization has a queue of its own, `cupel-hosted-{org_id}`, its own workers, and run ids
//! of its own, `{org_id}/{name}`. No call takes a queue or a whole id: [`TenantQueues::scoped`] gives
//! the handle of one organization, in which runs have short names. Temporal itself authorizes per
//! namespace, which the organizations share; so below every handle, worker and activity lies a
//! firewall that reads each call to the server, and refuses what names another organization's queue,
//! run or task, raw calls included.
//!
//! ```no_run
//! use cupel_queues::TenantQueues;
//! use cupel_tenant::{OrgId, TenantScope};
//! use temporalio_macros::{workflow, workflow_methods};
//! use temporalio_sdk::{WorkflowContext, WorkflowResult};
//!
//! #[workflow]
//! #[derive(Default)]
//! pub struct Nightly;
//!
//! #[workflow_methods]
//! impl Nightly {
//!     #[run]
//!     pub async fn run(_: &mut WorkflowContext<Self>, table: String) -> WorkflowResult<String> {
//!         Ok(format!("{table} is up to date"))
//!     }
//! }
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let queues = TenantQueues::connect("http://127.0.0.1:7233", "default").await?;
//! let acme: OrgId = "acme-corp".parse()?;
//!
//! let limits = queues.limits();
//! let worker = queues.worker(&acme, limits, |work| work.register_workflow::<Nightly>()).await?;
//!
//! let tenant = queues.scoped(&TenantScope::org(acme));
//! let run = tenant.start(Nightly::run, "nightly/2026-11-23", "crm.contacts".to_owned()).await?;
//! assert_eq!(run.id().to_string(), "acme-corp/nightly/2026-11-23");
//! assert_eq!(run.result().await?, "crm.contacts is up to date");
//! # worker.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Whoever defines workflows or activities needs `futures`, `temporalio-common`, `temporalio-macros`,
//! `temporalio-sdk` and `temporalio-workflow` as direct dependencies: the macros name them.
//!
//! # What holds
//!
//! - The *firewall* is an allow-list of calls, each looked at for the names in it. Schedules, batch
//!   operations, standalone activities, Nexus, Worker Versioning, the settings of queues and the list
//!   of workers are not on it. Search attributes whose names Temporal keeps to itself are not set by an
//!   organization, and its workers are known to the server by keys that start with its id.
//! - The *fence* reads every queue and run that workflow code names as its own organization's, so that
//!   honest code need not know its prefix. Code that gets past it is failed by the firewall.
//! - A *suspended* organization is refused new runs by every process within a second, since the server
//!   keeps the suspension. The server pauses its activities at once, and its workers stop wherever
//!   they run.
//!
//! # What this crate does not do
//!
//! The firewall is in the process: it stands against tenant code that uses what it is handed, not
//! against hostile native code, and not against a process with its own credentials for the namespace.
//! A queue of its own does not keep an organization fast while another floods the server; the limits
//! of a worker bound what one organization takes of a process, and no more. Payloads are not
//! encrypted. Needs a server of version 1.29 or later, which have limits that the API sets.

mod audit;
mod builder;
mod canary;
pub mod danger;
mod erase;
mod error;
mod fence;
mod filter;
mod firewall;
mod lane;
mod layer;
mod limits;
mod names;
mod prove;
mod queues;
mod run;
mod scoped;
mod snapshot;
mod standing;
mod status;
mod waits;
mod worker;

pub use builder::Builder;
pub use error::Error;
pub use filter::RunFilter;
pub use limits::WorkerLimits;
pub use names::{InvalidQueueName, InvalidRunId, InvalidRunName, QueueName, RunId, RunName};
pub use queues::TenantQueues;
pub use run::{Run, RunInfo};
pub use scoped::ScopedQueues;
pub use snapshot::{HalfSnapshot, QueueSnapshot, Slots};
pub use status::RunStatus;
pub use waits::Waiting;
pub use worker::{Work, WorkerHandle};
