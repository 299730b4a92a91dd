//! The floor: a client in C that sends the same statements and does nothing else.

use std::path::Path;
use std::process::Stdio;

use cupel_benches::BoxError;
use cupel_benches::same_table::{ROWS, org_id};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::contenders::{CONNECTIONS, ORGS, Round, Work};

/// Runs pgbench for so many seconds, on as many connections as the pools of the others have.
pub(crate) async fn round(
    program: &Path,
    url: &str,
    prepared: bool,
    work: Work,
    seconds: u64,
) -> Result<Round, BoxError> {
    let threads = std::thread::available_parallelism()?.to_string();
    let mut child = Command::new(program)
        .args(["--no-vacuum", "--file=-", "--client", &CONNECTIONS.to_string(), "--jobs", &threads])
        .args(["--protocol", if prepared { "prepared" } else { "simple" }])
        .args(["--time", &seconds.to_string(), url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(script(prepared, work).as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(format!("pgbench: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let report = String::from_utf8(output.stdout)?;
    let figure = |label: &str| -> Result<f64, BoxError> {
        let found = report.lines().find_map(|line| line.strip_prefix(label));
        let found = found.and_then(|it| it.split_whitespace().next());
        Ok(found.ok_or_else(|| format!("pgbench says nothing of {label}"))?.parse()?)
    };
    Ok(Round {
        transactions: figure("number of transactions actually processed: ")?,
        per_second: figure("tps = ")?,
    })
}

/// As we send them, three messages, planned each time; or four that are prepared once, which `SET LOCAL`
/// can be for one organization only.
fn script(prepared: bool, work: Work) -> String {
    let statement = match work {
        Work::TransactionWrite => "UPDATE pipelines SET runs = runs + 1 WHERE id = :id",
        Work::TransactionRead | Work::SingleRead => "SELECT name FROM pipelines WHERE id = :id",
    };
    let (separator, org) = if prepared {
        (";", org_id(7))
    } else {
        (r"\;", org_id(0).trim_end_matches("100").to_owned() + ":org")
    };
    format!(
        "\\set org random(100, {})\n\\set id random(1, {ROWS})
BEGIN {separator}
SET LOCAL app.current_org_id = '{org}';
{statement};
COMMIT;\n",
        99 + ORGS
    )
}
