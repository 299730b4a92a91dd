//! What every benchmark can be told.

use clap::{Args, ValueEnum};

/// How a benchmark is run, beside its own arguments.
#[derive(Args, Clone, Copy, Debug)]
#[command(about = None, long_about = None)]
#[non_exhaustive]
pub struct Run {
    /// How it reports, on standard output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// A small part of the work, to see that it runs.
    #[arg(long)]
    pub short: bool,
}

/// For whom a report is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum Format {
    /// For a reader.
    #[default]
    Text,
    /// For a program.
    Json,
}
