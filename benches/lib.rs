//! What the benchmarks share: arguments, a server, a load, the processes beside it and what they cost, a report.

pub mod args;
pub mod child;
pub mod load;
pub mod processes;
pub mod report;
pub mod same_table;
pub mod server;
pub mod steady;

/// Why a benchmark could not be taken.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
