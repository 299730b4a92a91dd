//! One file per command.

mod access_log;
mod adopt;
mod audit;
mod completions;
mod doctor;
mod lifecycle;
mod list;
mod migrate;
mod prove;
mod render;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

pub(crate) use adopt::AdoptArgs;
pub(crate) use audit::AuditArgs;
use cupel_isolation::{Config, Isolation};

use crate::args::{Args, Command, Format};
use crate::progress::Progress;

/// How a command ends: a code, or an error to explain.
pub(crate) type Ended = Result<ExitCode, Box<dyn Error>>;

/// Runs the command.
pub(crate) async fn run(args: Args) -> Ended {
    if let Command::Completions { shell } = args.command {
        return Ok(completions::run(shell));
    }
    let format = args.format.common();
    let config = configuration(&args.config)?;
    match args.command {
        Command::Audit(audit) => audit::run(&config, &audit, args.format).await,
        Command::Adopt(args) => adopt::run(&config, &args, format?).await,
        Command::Prove => prove::run(&config, format?).await,
        Command::Migrate { print } => migrate::run(&config, print, format?).await,
        Command::Onboard { org, tier } => lifecycle::onboard(&config, org, tier, format?).await,
        Command::Suspend { org } => lifecycle::suspend(&config, &org, format?).await,
        Command::Resume { org } => lifecycle::resume(&config, &org, format?).await,
        Command::Offboard { org, yes } => lifecycle::offboard(&config, &org, yes, format?).await,
        Command::AccessLog { head } => access_log::run(&config, head.as_deref(), format?).await,
        Command::List => list::run(&config, format?).await,
        Command::Render { org, tier, guards } => {
            format?;
            render::run(&config, org, tier, guards)
        }
        Command::Doctor => doctor::run(&config, format?).await,
        Command::Completions { shell } => Ok(completions::run(shell)),
    }
}

/// Reads the file, or the environment alone where the default file is not there.
fn configuration(path: &Path) -> Result<Config, cupel_isolation::Error> {
    if path == Path::new("cupel.toml") && !path.exists() {
        return Config::from_env();
    }
    Config::load(path)
}

/// Connects every configured layer, and tells progress while it is used.
async fn connect(config: &Config) -> Result<(Isolation, Progress), cupel_isolation::Error> {
    let progress = Progress::start();
    let isolation = Isolation::connect(&despite_findings(config)).await?;
    Ok((isolation.observed_by(progress.observer()), progress))
}

/// Whoever looks for a leak, or suspends an organization because of one, must get in.
fn despite_findings(config: &Config) -> Config {
    let mut config = config.clone();
    if let Some(database) = &mut config.database {
        database.allow_critical_findings = Some(true);
    }
    config
}

/// Prints JSON, indented, as the only thing on standard output.
fn print_json(value: &serde_json::Value) {
    anstream::println!("{value:#}");
}

/// Prints one thing for readers or another for programs.
fn print(format: Format, text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) {
    match format {
        Format::Text => anstream::print!("{}", text()),
        Format::Json => print_json(&json()),
    }
}
