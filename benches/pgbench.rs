//! The floor: a client in C that sends the same statements and does nothing else.

use std::path::Path;
use std::process::Stdio;

use cupel_benches::BoxError;
use cupel_benches::same_table::{ROWS, org_id};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::contenders::{CONNECTIONS, ORGS, Round, Work};

/// How the statements reach the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// In three messages, as we send them, but planned each time.
    Simple,
    /// In four messages, each prepared once.
    Prepared,
    /// Prepared, and all sent before the first answer is waited for: one round trip.
    Pipelined,
}

/// Runs pgbench for so many seconds, on as many connections as the pools of the others have.
pub(crate) async fn round(
    program: &Path,
    url: &str,
    protocol: Protocol,
    work: Work,
    seconds: u64,
) -> Result<Round, BoxError> {
    let threads = std::thread::available_parallelism()?.to_string();
    let name = if protocol == Protocol::Simple { "simple" } else { "prepared" };
    let mut child = Command::new(program)
        .args(["--no-vacuum", "--file=-", "--client", &CONNECTIONS.to_string(), "--jobs", &threads])
        .args(["--protocol", name])
        .args(["--time", &seconds.to_string(), url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(script(protocol, work).as_bytes()).await?;
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

/// `SET LOCAL` takes no parameter, so that what is prepared is for one organization only.
fn script(protocol: Protocol, work: Work) -> String {
    let statement = match work {
        Work::TransactionWrite => "UPDATE pipelines SET runs = runs + 1 WHERE id = :id",
        Work::TransactionRead | Work::SingleRead => "SELECT name FROM pipelines WHERE id = :id",
    };
    let (separator, org) = match protocol {
        Protocol::Simple => (r"\;", org_id(0).trim_end_matches("100").to_owned() + ":org"),
        Protocol::Prepared | Protocol::Pipelined => (";", org_id(7)),
    };
    let (start, end) = match protocol {
        Protocol::Pipelined => ("\\startpipeline\n", "\\endpipeline\n"),
        Protocol::Simple | Protocol::Prepared => ("", ""),
    };
    format!(
        "\\set org random(100, {})\n\\set id random(1, {ROWS})
{start}BEGIN {separator}
SET LOCAL app.current_org_id = '{org}';
{statement};
COMMIT;\n{end}",
        99 + ORGS
    )
}
