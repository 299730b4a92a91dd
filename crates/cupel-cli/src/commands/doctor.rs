use std::process::ExitCode;

use cupel_isolation::{Checkup, Config, examine, report};

use super::{Ended, print};
use crate::args::Format;
use crate::exit;

pub(crate) async fn run(config: &Config, format: Format) -> Ended {
    let checkups = examine(config).await;
    print(format, || report::checkups_text(&checkups), || report::checkups_json(&checkups));
    let failing = checkups.iter().any(|(_, checkup)| matches!(checkup, Checkup::Failing(_)));
    Ok(ExitCode::from(if failing { exit::UNUSABLE } else { exit::HELD }))
}
