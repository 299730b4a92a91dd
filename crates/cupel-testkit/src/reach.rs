//! From where the ports of a container are reached.

use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time;
use url::Url;

use crate::Settings;
use crate::docker::ask;

/// How long a connection to this machine or its neighbour may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// What `docker network inspect` shows of a network: the address that its containers call.
const GATEWAY: &str = "{{(index .IPAM.Config 0).Gateway}}";

/// From where an engine's published ports are reached.
pub(crate) struct Reach {
    /// The addresses of the host to publish on; on all of them if there are none.
    pub(crate) publish: Vec<String>,
    /// The name of an engine's host that is not this one.
    remote: Option<String>,
}

impl Reach {
    pub(crate) async fn of(settings: &Settings, docker: &Path) -> Self {
        if let Some(host) = settings.get("DOCKER_HOST")
            && let Ok(url) = Url::parse(host)
            && let Some(host) = url.host_str().filter(|host| !host.is_empty())
        {
            return Self { publish: Vec::new(), remote: Some(host.to_owned()) };
        }
        // On this machine nobody else needs to reach a server, so it is published on loopback.
        let mut publish = vec!["127.0.0.1".to_owned()];
        // In a container the engine may be the one beside us: its loopback is not ours then, and
        // what both reach is the address of the bridge.
        if Path::new("/.dockerenv").exists() {
            let bridge = ["network", "inspect", "bridge", "--format", GATEWAY];
            let gateway = ask(docker, &bridge).await.unwrap_or_default();
            publish.extend(gateway.parse().map(|it: Ipv4Addr| it.to_string()));
        }
        Self { publish, remote: None }
    }

    /// Chooses among the lines `ADDRESS:PORT` of a published port the one that can be reached.
    pub(crate) async fn choose(&self, published: &str) -> Option<String> {
        let mut candidates = Vec::new();
        for line in published.lines() {
            // Both families may be there; IPv4 always is.
            let Ok(address) = line.trim().parse::<SocketAddrV4>() else { continue };
            candidates.push(match &self.remote {
                Some(host) => format!("{host}:{}", address.port()),
                None => address.to_string(),
            });
        }
        for candidate in &candidates {
            // The engine's proxy accepts before the server does.
            let connect = TcpStream::connect(candidate);
            if matches!(time::timeout(CONNECT_WITHIN, connect).await, Ok(Ok(_))) {
                return Some(candidate.clone());
            }
        }
        candidates.into_iter().next()
    }
}
