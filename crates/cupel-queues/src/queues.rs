use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cupel_tenant::{OrgId, TenantScope};
use temporal_client::Connection;

use crate::lane::{Guards, Lane};
use crate::{Builder, Error, ScopedQueues, Work, WorkerHandle, WorkerLimits, worker};

/// The queues of all organizations of one Temporal namespace.
///
/// Cloning is cheap, and clones share everything. Per organization that was used, a process keeps a
/// client and a few counters, and a worker where one was started.
#[derive(Clone, Debug)]
pub struct TenantQueues {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Ours, with retries, and behind no firewall.
    server: Connection,
    /// What the firewalls send on.
    passage: Connection,
    namespace: Arc<str>,
    endpoint: String,
    limits: WorkerLimits,
    guards: Guards,
    lanes: Mutex<HashMap<OrgId, Arc<Lane>>>,
}

impl TenantQueues {
    /// Connects to a Temporal frontend, as [`Builder::connect`] without options does.
    ///
    /// # Errors
    ///
    /// As for [`Builder::connect`].
    pub async fn connect(address: &str, namespace: &str) -> Result<Self, Error> {
        Self::builder(address, namespace).connect().await
    }

    /// Says where Temporal is (`https://HOST:7233`), and which namespace the organizations share.
    pub fn builder(address: &str, namespace: &str) -> Builder {
        Builder::new(address, namespace)
    }

    pub(crate) fn new(
        server: Connection,
        passage: Connection,
        namespace: &str,
        endpoint: String,
        limits: WorkerLimits,
    ) -> Self {
        let guards = Guards { firewall: true, fence: true };
        let namespace = Arc::from(namespace);
        let lanes = Mutex::default();
        let shared = Shared { server, passage, namespace, endpoint, limits, guards, lanes };
        Self { shared: Arc::new(shared) }
    }

    /// The same queues under other guards, sharing nothing but the connection.
    pub(crate) fn guarded_by(&self, guards: Guards) -> Self {
        let shared = Shared {
            server: self.shared.server.clone(),
            passage: self.shared.passage.clone(),
            namespace: Arc::clone(&self.shared.namespace),
            endpoint: self.shared.endpoint.clone(),
            limits: self.shared.limits,
            guards,
            lanes: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns the handle of one organization. The server is not asked.
    pub fn scoped(&self, scope: &TenantScope) -> ScopedQueues {
        ScopedQueues::new(self.clone(), self.lane(scope.org_id()), scope.clone())
    }

    /// Starts a worker of one organization, on a thread of its own, and returns once it polls.
    ///
    /// # Errors
    ///
    /// [`Error::Limits`] and [`Error::Registration`] before anything is sent,
    /// [`Error::WorkerRuns`] if this process has a worker of the organization already,
    /// [`Error::Suspended`] if the organization is, [`Error::Worker`] if the worker cannot start.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use cupel_queues::TenantQueues;
    /// use temporalio_macros::activities;
    /// use temporalio_sdk::activities::{ActivityContext, ActivityError};
    ///
    /// pub struct Greeter;
    ///
    /// #[activities]
    /// impl Greeter {
    ///     #[activity]
    ///     pub async fn greet(_: ActivityContext, name: String) -> Result<String, ActivityError> {
    ///         Ok(format!("hello, {name}"))
    ///     }
    /// }
    ///
    /// # async fn f(queues: TenantQueues) -> Result<(), Box<dyn std::error::Error>> {
    /// let acme = "acme-corp".parse()?;
    /// let worker =
    ///     queues.worker(&acme, queues.limits(), |work| work.register_activities(Greeter)).await?;
    /// worker.stop().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn worker(
        &self,
        org: &OrgId,
        limits: WorkerLimits,
        work: impl FnOnce(Work) -> Work,
    ) -> Result<WorkerHandle, Error> {
        worker::start(&self.lane(org), limits, work).await
    }

    /// Returns the limits that were given to the builder, or the default ones.
    pub fn limits(&self) -> WorkerLimits {
        self.shared.limits
    }

    /// Returns the Temporal namespace that the organizations share.
    pub fn namespace(&self) -> &str {
        &self.shared.namespace
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.shared.endpoint
    }

    /// The connection without a firewall, for what this crate does in its own name.
    pub(crate) fn server(&self) -> &Connection {
        &self.shared.server
    }

    pub(crate) fn guards(&self) -> Guards {
        self.shared.guards
    }

    pub(crate) fn lane(&self, org: &OrgId) -> Arc<Lane> {
        let mut lanes = self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(org.clone()).or_insert_with(|| {
            let Shared { server, passage, namespace, guards, .. } = &*self.shared;
            Arc::new(Lane::new(org, namespace, server, passage, *guards))
        });
        Arc::clone(lane)
    }

    /// Lets go of what the process keeps of an organization that is erased.
    pub(crate) fn forget(&self, org: &OrgId) {
        self.shared.lanes.lock().unwrap_or_else(PoisonError::into_inner).remove(org);
    }
}
