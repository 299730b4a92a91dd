use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use cupel_tenant::OrgId;
use temporal_client::{Client, ClientOptions, Connection};
use tokio::sync::OnceCell;

use crate::firewall::{self, Gate};
use crate::standing::Standing;
use crate::waits::Waits;
use crate::worker::Engine;
use crate::{Error, QueueName};

/// Which guards stand. Both, but for what [`danger`](crate::danger) hands out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards {
    pub(crate) firewall: bool,
    pub(crate) fence: bool,
}

/// What this process holds of one organization.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) org: OrgId,
    pub(crate) queue: QueueName,
    pub(crate) guards: Guards,
    pub(crate) standing: Arc<Standing>,
    pub(crate) waits: Arc<Waits>,
    namespace: Arc<str>,
    server: Connection,
    gate: Arc<Gate>,
    client: OnceCell<Client>,
    engine: Mutex<Option<Engine>>,
}

impl Lane {
    pub(crate) fn new(
        org: &OrgId,
        namespace: &Arc<str>,
        server: &Connection,
        passage: &Connection,
        guards: Guards,
    ) -> Self {
        let standing = Arc::new(Standing::new(org, Arc::clone(namespace), server.clone()));
        Self {
            org: org.clone(),
            queue: QueueName::of(org),
            guards,
            gate: Arc::new(Gate::new(org, namespace, passage.clone(), Arc::clone(&standing))),
            standing,
            waits: Arc::default(),
            namespace: Arc::clone(namespace),
            server: server.clone(),
            client: OnceCell::new(),
            engine: Mutex::new(None),
        }
    }

    /// The organization's own client, behind its firewall. Made on first use, without a round trip.
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        let client = self.client.get_or_try_init(async || {
            // The firewall, and audit, know the organization's workers by how they sign.
            let identity = format!("{}/{}", self.org, process::id());
            let connection = if self.guards.firewall {
                firewall::connection(Arc::clone(&self.gate), identity).await?
            } else {
                let mut connection = self.server.clone();
                *connection.identity_mut() = identity;
                connection
            };
            let options = ClientOptions::new(self.namespace.to_string()).build();
            Client::new(connection, options).map_err(Error::worker)
        });
        Ok(client.await?.clone())
    }

    /// Takes in the engine of a worker, unless one runs.
    pub(crate) fn occupy(
        &self,
        start: impl FnOnce() -> Result<Engine, Error>,
    ) -> Result<Engine, Error> {
        let mut slot = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(Engine::is_running) {
            return Err(Error::WorkerRuns);
        }
        let engine = start()?;
        *slot = Some(engine.clone());
        Ok(engine)
    }

    /// The engine of the organization's worker in this process, if one was started.
    pub(crate) fn engine(&self) -> Option<Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
