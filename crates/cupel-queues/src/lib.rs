//! Temporal task queues that belong to one organization.

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
