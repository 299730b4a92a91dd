use std::process::ExitCode;

use cupel_isolation::{Config, report};

use super::{Ended, connect, print};
use crate::args::Format;
use crate::exit;

pub(crate) async fn run(config: &Config, format: Format) -> Ended {
    let (isolation, progress) = connect(config).await?;
    if isolation.configured().is_empty() {
        return Err("nothing is configured: write a cupel.toml with at least one layer".into());
    }
    let proof = isolation.prove().await?;
    drop(progress);
    print(format, || report::proof_text(&proof), || report::proof_json(&proof));
    Ok(ExitCode::from(if proof.is_isolated() { exit::HELD } else { exit::LEAKED }))
}
