use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use testcontainers::ContainerRequest;
use testcontainers::GenericImage;
use testcontainers::ImageExt;
use testcontainers::bollard::models::PortBinding;
use testcontainers::core::IntoContainerPort;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use tokio::runtime;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::time;
use uuid::Uuid;

use crate::Error;
use crate::Provider;
use crate::Service;
use crate::Settings;
use crate::error::BoxError;
use crate::images::Image;
use crate::lifeline::Lifeline;

/// How long an engine may take to say that it is there.
const ENGINE_WITHIN: Duration = Duration::from_millis(900);

/// Removes a container once nobody holds the pipe: `sh -c SCRIPT container DOCKER NAME`.
const REMOVE: &str = r#"read -r _; "$1" rm --force --volumes "$2""#;

/// What a container is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) service: Service,
    /// The ports inside, each published on a free one of loopback.
    pub(crate) ports: &'a [u16],
    pub(crate) env: &'a [(&'a str, &'a str)],
    /// A program other than the image's own.
    pub(crate) entrypoint: Option<&'a str>,
    pub(crate) command: &'a [&'a str],
    /// A file to put there, by its path inside.
    pub(crate) file: Option<(&'a str, &'a str)>,
    /// Whether it may do what the host may, as a node of a cluster has to.
    pub(crate) privileged: bool,
}

impl Request<'_> {
    pub(crate) const fn new(service: Service) -> Self {
        Self {
            service,
            ports: &[],
            env: &[],
            entrypoint: None,
            command: &[],
            file: None,
            privileged: false,
        }
    }
}

/// A container that is removed when this value is dropped, or when our own process ends in any
/// way.
#[derive(Debug)]
pub(crate) struct Container {
    lifeline: Lifeline,
    docker: PathBuf,
    name: String,
    image: String,
    host: String,
    ports: Vec<(u16, u16)>,
}

impl Container {
    /// Starts a container; `None` where containers are not to be had but other ways are open.
    pub(crate) async fn start(
        settings: &Settings,
        request: Request<'_>,
    ) -> Result<Option<Self>, Error> {
        let service = request.service;
        let Some((image, docker, runtime)) = engine(service, settings).await? else {
            return if settings.wants_containers() {
                Err(Error::NoEngine { service })
            } else {
                Ok(None)
            };
        };

        let (descriptor, described) = (image.descriptor(), image.descriptor());
        let name = format!("cupel-testkit-{}", Uuid::new_v4().simple());
        let remote = settings.get("DOCKER_HOST").is_some_and(|host| !host.starts_with("unix:"));
        let ports = request.ports.to_vec();
        let definition = define(&image, &name, request, remote);
        // The lifeline is there before the container, and goes where it goes: whoever gives up in
        // between leaves nothing behind.
        let start = async move {
            let lifeline = lifeline(&docker, &name)?;
            // What testcontainers does on drop needs a runtime, which a shared server outlives;
            // the lifeline does it instead.
            let started = ManuallyDrop::new(definition.start().await?);
            let host = match started.get_host().await?.to_string() {
                // Names are looked up as IPv6 first, and only IPv4 is published.
                local if local == "localhost" => "127.0.0.1".to_owned(),
                host => host,
            };
            let mut published = Vec::new();
            for port in ports {
                published.push((port, started.get_host_port_ipv4(port.tcp()).await?));
            }
            Ok(Self { lifeline, docker, name, image: described, host, ports: published })
        };
        let started: Result<Self, BoxError> = match runtime.spawn(start).await {
            Ok(started) => started,
            Err(ended) => Err(ended.into()),
        };
        match started {
            Ok(container) => Ok(Some(container)),
            Err(source) if settings.wants_containers() => {
                let variable = image.variable;
                Err(Error::Container { service, image: descriptor, variable, source })
            }
            Err(source) => {
                tracing::info!(%service, image = descriptor, error = source, "no container");
                Ok(None)
            }
        }
    }

    /// Returns the image it was made from.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// Returns the address, `HOST:PORT`, at which a port inside is published.
    pub(crate) fn address(&self, inside: u16) -> String {
        let port = self.ports.iter().find(|(port, _)| *port == inside).map_or(0, |(_, at)| *at);
        format!("{}:{port}", self.host)
    }

    /// Runs a command inside and returns what it printed.
    pub(crate) async fn run(&self, command: &[&str]) -> Result<String, BoxError> {
        let mut docker = tokio::process::Command::new(&self.docker);
        let ran = docker.args(["exec", &self.name]).args(command).output().await?;
        if !ran.status.success() {
            return Err("a command failed inside the container".into());
        }
        Ok(String::from_utf8(ran.stdout)?)
    }

    /// Returns whether the server ended by itself.
    pub(crate) async fn has_ended(&self) -> bool {
        let mut docker = tokio::process::Command::new(&self.docker);
        let asked = docker.args(["inspect", "--format={{.State.Running}}", &self.name]).output();
        asked.await.is_ok_and(|answer| answer.stdout.trim_ascii() == b"false")
    }

    /// Returns the last lines of the server's log.
    pub(crate) fn last_words(&self) -> String {
        let logs = Command::new(&self.docker).args(["logs", "--tail=12", &self.name]).output();
        let Ok(logs) = logs else { return "(not to be had)".to_owned() };
        let logs = [logs.stdout, logs.stderr].concat();
        String::from_utf8_lossy(&logs).lines().collect::<Vec<_>>().join(" | ")
    }

    /// Removes the container and waits until it is gone.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.lifeline.cut().await
    }
}

fn define(
    image: &Image,
    name: &str,
    request: Request<'_>,
    remote: bool,
) -> ContainerRequest<GenericImage> {
    let mut generic = GenericImage::new(&image.name, &image.tag);
    if let Some(entrypoint) = request.entrypoint {
        generic = generic.with_entrypoint(entrypoint);
    }
    for port in request.ports {
        generic = generic.with_exposed_port(port.tcp());
    }
    let mut definition = generic
        .with_container_name(name)
        .with_privileged(request.privileged)
        .with_cmd(request.command.iter().copied());
    for (variable, value) in request.env {
        definition = definition.with_env_var(*variable, *value);
    }
    if let Some((path, text)) = request.file {
        definition = definition.with_copy_to(path, text.as_bytes().to_vec());
    }
    if remote {
        return definition;
    }
    // On this machine nobody else needs to reach the server, so it is published on loopback only.
    let bindings: HashMap<_, _> = request
        .ports
        .iter()
        .map(|port| {
            let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None };
            (format!("{port}/tcp"), Some(vec![binding]))
        })
        .collect();
    definition.with_host_config_modifier(move |host| {
        host.publish_all_ports = Some(false);
        host.port_bindings = Some(bindings.clone());
    })
}

fn lifeline(docker: &Path, name: &str) -> Result<Lifeline, Error> {
    let mut shell = Command::new("sh");
    Lifeline::tie(shell.args(["-c", REMOVE, "container"]).arg(docker).arg(name))
}

/// Returns what a container is made with, if containers are allowed and an engine answers.
async fn engine(
    service: Service,
    settings: &Settings,
) -> Result<Option<(Image, PathBuf, &'static Runtime)>, Error> {
    if !settings.allows(Provider::Container) {
        return Ok(None);
    }
    let (Some(image), Some(docker)) = (Image::of(service, settings), settings.program("docker"))
    else {
        return Ok(None);
    };
    let runtime = runtime().await?;
    let answers = runtime.spawn(engine_answers()).await.unwrap_or(false);
    Ok(answers.then_some((image, docker, runtime)))
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
