use std::future;
use std::process::ExitCode;

use cupel_isolation::{Config, Error, report};

use super::{Ended, connect, print};
use crate::args::Format;
use crate::exit;

pub(crate) async fn run(config: &Config, format: Format) -> Ended {
    let (isolation, progress) = connect(config).await?;
    if isolation.configured().is_empty() {
        return Err("nothing is configured: write a cupel.toml with at least one layer".into());
    }
    let proven = isolation.prove_until(interrupted()).await;
    drop(progress);
    let (proof, code) = match proven {
        Ok(proof) => (proof, exit::HELD),
        Err(error) => {
            let code = exit::explain(&error);
            // What was proven is told even so.
            let Error::CanariesLeft { proof: Some(proof), .. } = error else { return Ok(code) };
            (*proof, exit::UNUSABLE)
        }
    };
    print(format, || report::proof_text(&proof), || report::proof_json(&proof));
    Ok(ExitCode::from(if proof.is_isolated() { code } else { exit::LEAKED }))
}

/// Is ready when the user presses Ctrl-C, which from now on does not end the process.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // It cannot be listened for, and ends the process as ever.
        future::pending::<()>().await;
    }
}
