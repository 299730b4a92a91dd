use std::process::ExitCode;

use clap::{Args, Subcommand};
use cupel_isolation::adopt::{self, Act, AdoptionStep};
use cupel_isolation::{Config, report};
use serde_json::json;

use super::{Ended, print};
use crate::args::Format;
use crate::exit;
use crate::progress::Progress;

#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    #[command(subcommand)]
    act: Option<AdoptAct>,
}

#[derive(Debug, Subcommand)]
enum AdoptAct {
    /// Say how far each table is, and what was counted. This is what `cupel adopt` alone does.
    Status,
    /// Count what enforcement would block, and block nobody.
    Shadow,
    /// Count anew from now on, for instance once a new version of the service is everywhere.
    Forget,
    /// Build the keys, references and indexes that carry the organization, beside those that there are.
    Validate,
    /// Validate, and isolate one table after the other.
    Enforce {
        /// Also if violations were counted: the statements will then see no rows, or be refused.
        #[arg(long)]
        despite_violations: bool,
    },
}

pub(crate) async fn run(config: &Config, args: &AdoptArgs, format: Format) -> Ended {
    let act = match args.act {
        None | Some(AdoptAct::Status) => {
            let tables = adopt::status(config).await?;
            print(format, || report::adoption_text(&tables), || report::adoption_json(&tables));
            return Ok(ExitCode::from(exit::HELD));
        }
        Some(AdoptAct::Shadow) => Act::Shadow,
        Some(AdoptAct::Forget) => Act::Forget,
        Some(AdoptAct::Validate) => Act::Validate,
        Some(AdoptAct::Enforce { despite_violations }) => Act::Enforce { despite_violations },
    };
    let progress = Progress::start();
    let say = progress.lines();
    let changes = adopt::run(config, act, move |step: &AdoptionStep| say(step.to_string())).await?;
    drop(progress);
    let text = || {
        if changes.is_empty() {
            return "nothing to do\n".to_owned();
        }
        changes.iter().map(|change| format!("{change}\n")).collect()
    };
    print(format, text, || json!({ "changes": changes.iter().collect::<Vec<_>>() }));
    Ok(ExitCode::from(exit::HELD))
}
