use std::collections::HashMap;
use std::mem;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use testcontainers::ContainerRequest;
use testcontainers::GenericImage;
use testcontainers::ImageExt;
use testcontainers::bollard::models::PortBinding;
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use uuid::Uuid;

use crate::Error;
use crate::Service;
use crate::Settings;
use crate::docker::ask;
use crate::docker::engine;
use crate::error::BoxError;
use crate::images::Image;
use crate::lifeline::Lifeline;
use crate::reach::Reach;

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
    // Each port inside, and the `HOST:PORT` at which it is reached.
    addresses: Vec<(u16, String)>,
}

impl Container {
    /// Starts a container; `None` where containers are not to be had but other ways are open.
    pub(crate) async fn start(
        settings: &Settings,
        request: Request<'_>,
    ) -> Result<Option<Self>, Error> {
        let service = request.service;
        let Some((docker, runtime)) = engine(settings).await? else {
            return if settings.wants_containers() {
                Err(Error::NoEngine { service })
            } else {
                Ok(None)
            };
        };

        let image = Image::of(service, settings);
        let (descriptor, described) = (image.descriptor(), image.descriptor());
        let name = format!("cupel-testkit-{}", Uuid::new_v4().simple());
        let ports = request.ports.to_vec();
        let reach = Reach::of(settings, &docker).await;
        let definition = define(&image, &name, request, &reach);
        // The lifeline is there before the container, and goes where it goes: whoever gives up in
        // between leaves nothing behind.
        let start = async move {
            let lifeline = lifeline(&docker, &name)?;
            // What testcontainers does on drop needs a runtime, which a shared server outlives;
            // the lifeline does it instead.
            mem::forget(definition.start().await?);
            let mut addresses = Vec::new();
            for port in ports {
                let published = ask(&docker, &["port", &name, &format!("{port}/tcp")]).await?;
                let address = reach.choose(&published).await.ok_or("no port is published")?;
                addresses.push((port, address));
            }
            Ok(Self { lifeline, docker, name, image: described, addresses })
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
        let address = self.addresses.iter().find(|(port, _)| *port == inside);
        address.map(|(_, address)| address.clone()).unwrap_or_default()
    }

    /// Runs a command inside and returns what it printed.
    pub(crate) async fn run(&self, command: &[&str]) -> Result<String, BoxError> {
        ask(&self.docker, &[&["exec", &self.name], command].concat()).await
    }

    /// Returns whether the server ended by itself.
    pub(crate) async fn has_ended(&self) -> bool {
        let question = ["inspect", "--format={{.State.Running}}", &self.name];
        ask(&self.docker, &question).await.is_ok_and(|running| running == "false")
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
    reach: &Reach,
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
    if reach.publish.is_empty() {
        return definition;
    }
    let on = |address: &String| PortBinding { host_ip: Some(address.clone()), host_port: None };
    let bindings: Vec<PortBinding> = reach.publish.iter().map(on).collect();
    let ports = request.ports.iter().map(|port| (format!("{port}/tcp"), Some(bindings.clone())));
    let ports: HashMap<_, _> = ports.collect();
    definition.with_host_config_modifier(move |host| {
        host.publish_all_ports = Some(false);
        host.port_bindings = Some(ports.clone());
    })
}

fn lifeline(docker: &Path, name: &str) -> Result<Lifeline, Error> {
    let mut shell = Command::new("sh");
    Lifeline::tie(shell.args(["-c", REMOVE, "container"]).arg(docker).arg(name))
}
