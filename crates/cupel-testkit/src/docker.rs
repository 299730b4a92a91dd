//! The Docker engine: whether there is one, and what its own program is asked.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use testcontainers::core::client::docker_client_instance;
use tokio::process::Command;
use tokio::runtime;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::time;

use crate::Error;
use crate::Provider;
use crate::Settings;
use crate::error::BoxError;

/// How long an engine may take to say that it is there.
const ENGINE_WITHIN: Duration = Duration::from_millis(900);

/// Returns what a container is made with, if containers are allowed and an engine answers: the
/// `docker` program, and the runtime for testcontainers.
pub(crate) async fn engine(
    settings: &Settings,
) -> Result<Option<(PathBuf, &'static Runtime)>, Error> {
    if !settings.allows(Provider::Container) {
        return Ok(None);
    }
    let Some(docker) = settings.program("docker") else { return Ok(None) };
    let runtime = runtime().await?;
    let answers = runtime.spawn(engine_answers()).await.unwrap_or(false);
    Ok(answers.then_some((docker, runtime)))
}

/// Returns whether the engine that testcontainers would ask is there.
async fn engine_answers() -> bool {
    let ping = async {
        let engine = docker_client_instance().await.ok()?;
        engine.ping().await.ok()
    };
    matches!(time::timeout(ENGINE_WITHIN, ping).await, Ok(Some(_)))
}

/// Returns the runtime of everything that talks to the engine.
///
/// Connections to it outlive the test that opened them, and each test has a runtime of its own,
/// which ends with it.
async fn runtime() -> Result<&'static Runtime, Error> {
    static RUNTIME: OnceCell<Runtime> = OnceCell::const_new();
    RUNTIME
        .get_or_try_init(|| async {
            runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("cupel-testkit")
                .enable_all()
                .build()
                .map_err(Error::machine("start a thread to talk to Docker"))
        })
        .await
}

/// Runs the `docker` program and returns what it printed.
pub(crate) async fn ask(docker: &Path, arguments: &[&str]) -> Result<String, BoxError> {
    let ran = Command::new(docker).args(arguments).output().await?;
    if !ran.status.success() {
        return Err(String::from_utf8_lossy(&ran.stderr).trim().into());
    }
    Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
}
