//! The `cupel` command: keeps the organizations of a service apart, and proves it.

mod args;
mod commands;
mod exit;
mod formats;
mod progress;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::args::Args;

#[tokio::main]
async fn main() -> ExitCode {
    // Clap itself exits with 2 on a usage error, which is the code that this command documents.
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| "off".into()))
        .with_writer(std::io::stderr)
        .init();
    match commands::run(args).await {
        Ok(code) => code,
        Err(error) => exit::explain(error.as_ref()),
    }
}
