use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time;
use url::Url;

type TestResult = Result<(), Box<dyn Error>>;

/// How long servers may take to end.
const WITHIN: Duration = Duration::from_secs(30);

/// Another process that holds servers in statics, as a test binary does.
struct Holder {
    process: Child,
    places: Vec<String>,
}

impl Holder {
    async fn start(folder: &Path, names: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_testbed"))
            .args(names)
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().ok_or("a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut places = Vec::new();
        while places.len() < names.len() {
            let line = lines.next_line().await?.ok_or("a line for each server")?;
            let (_, url) = line.split_once('=').ok_or("VARIABLE=VALUE")?;
            let url = Url::parse(url)?;
            let host = url.host_str().ok_or("a host")?;
            places.push(format!("{host}:{}", url.port().ok_or("a port")?));
        }
        for place in &places {
            TcpStream::connect(place).await?;
        }
        Ok(Self { process, places })
    }
}

/// Waits until nobody listens and nothing lies in the folder.
async fn gone(places: &[String], folder: &Path) -> TestResult {
    let gone = async {
        for place in places {
            while TcpStream::connect(place).await.is_ok() {
                time::sleep(Duration::from_millis(20)).await;
            }
        }
        while fs::read_dir(folder)?.next().is_some() {
            time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    time::timeout(WITHIN, gone).await?
}

/// A folder for temporary folders that every user may pass through.
fn folder() -> Result<tempfile::TempDir, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

#[tokio::test]
async fn servers_end_with_a_process_that_is_killed() -> TestResult {
    let folder = folder()?;
    let mut holder = Holder::start(folder.path(), &["postgres", "redis"]).await?;
    holder.process.kill().await?; // SIGKILL: nothing in that process runs any more
    gone(&holder.places, folder.path()).await
}

#[tokio::test]
async fn servers_end_with_a_process_that_ends() -> TestResult {
    let folder = folder()?;
    let mut holder = Holder::start(folder.path(), &["postgres", "redis"]).await?;
    drop(holder.process.stdin.take());
    assert!(holder.process.wait().await?.success());
    gone(&holder.places, folder.path()).await
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing_behind() -> TestResult {
    let folder = folder()?;
    let mut process = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .arg("temporal")
        .env("TMPDIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    // In the middle of the start: the supervisor has begun the log, the server does not answer yet.
    // (A process that is killed in the moment before there is a supervisor leaves an empty folder.)
    let begun = async {
        loop {
            for place in fs::read_dir(folder.path())? {
                if place?.path().join("log").exists() {
                    return Ok::<_, std::io::Error>(());
                }
            }
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    time::timeout(WITHIN, begun).await??;
    process.kill().await?;
    gone(&[], folder.path()).await
}
