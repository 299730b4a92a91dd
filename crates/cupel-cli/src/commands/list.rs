use std::process::ExitCode;

use cupel_isolation::{Config, report};

use super::{Ended, connect, print};
use crate::args::Format;
use crate::exit;

pub(crate) async fn run(config: &Config, format: Format) -> Ended {
    let (isolation, progress) = connect(config).await?;
    let orgs = isolation.list().await?;
    drop(progress);
    print(format, || report::orgs_text(&orgs), || report::orgs_json(&orgs));
    Ok(ExitCode::from(exit::HELD))
}
