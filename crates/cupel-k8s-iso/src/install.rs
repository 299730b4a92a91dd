//! Putting the guards in force.

use std::time::Duration;

use cupel_tenant::Changes;
use kube::Api;
use kube::api::{DynamicObject, ListParams, PostParams};

use crate::guards::canaries::{self, Canary};
use crate::manifest::Kind;
use crate::names::ORG_LABEL;
use crate::wait::Patience;
use crate::{Error, NamespaceName, TenantCluster, guards};

/// How long the API server may take to act by a policy that it stores: it reads them anew about
/// once a second.
const DEADLINE: Duration = Duration::from_secs(30);

impl TenantCluster {
    /// Installs the admission guards of the cluster, or brings them up to date, and waits until the
    /// API server acts by them. Returns what changed.
    ///
    /// Needs the right to write ValidatingAdmissionPolicies and their bindings.
    ///
    /// # Errors
    ///
    /// [`Error::NotManager`] if the guards would refuse this account, [`Error::GuardsMissing`] if it
    /// may not install them, [`Error::GuardsNotInForce`] if the API server does not act by them.
    pub async fn install_guards(&self) -> Result<Changes, Error> {
        self.require_manager()?;
        self.ensure_guards().await
    }

    pub(crate) async fn ensure_guards(&self) -> Result<Changes, Error> {
        let mut changes = Changes::none();
        for manifest in guards(self.blueprint())?.iter() {
            match self.put(manifest, &mut changes).await {
                Err(Error::Denied { source, .. }) => return Err(Error::GuardsMissing { source }),
                other => other?,
            }
        }
        if !changes.is_empty() {
            self.wait_for_guard(&canaries::of_cluster(), None).await?;
            if let Some(namespace) = self.any_organization().await? {
                self.wait_for_guards(&namespace).await?;
            }
        }
        Ok(changes)
    }

    /// Waits until every guard refuses its canary in the namespace of an organization.
    pub(crate) async fn wait_for_guards(&self, namespace: &NamespaceName) -> Result<(), Error> {
        for canary in canaries::of_namespace() {
            self.wait_for_guard(&canary, Some(namespace)).await?;
        }
        Ok(())
    }

    async fn any_organization(&self) -> Result<Option<NamespaceName>, Error> {
        let labelled = ListParams::default().labels(ORG_LABEL);
        let namespaces = self
            .api(Kind::Namespace, None)
            .list_metadata(&labelled)
            .await
            .map_err(|source| Error::of("list namespaces", source))?;
        // In one that is being deleted nothing is made, so that no guard is asked.
        let alive = namespaces.items.iter().filter(|one| one.metadata.deletion_timestamp.is_none());
        Ok(alive.filter_map(|one| one.metadata.name.as_deref()?.parse().ok()).next())
    }

    async fn wait_for_guard(
        &self,
        canary: &Canary,
        namespace: Option<&NamespaceName>,
    ) -> Result<(), Error> {
        let client = self.client().clone();
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace.as_str(), &canary.resource),
            None => Api::all_with(client, &canary.resource),
        };
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let refusal = format!("ValidatingAdmissionPolicy '{}'", canary.guard);
        let patience = Patience::with("the guards were not in force", DEADLINE);
        loop {
            match api.create(&dry_run, &canary.object).await {
                Err(kube::Error::Api(status)) if status.message.contains(&refusal) => return Ok(()),
                // The namespace went meanwhile: there is nothing left in it to guard.
                Err(kube::Error::Api(status)) if namespace.is_some() && status.is_not_found() => {
                    return Ok(());
                }
                // Accepted, or refused by something else: not yet.
                Ok(_) | Err(kube::Error::Api(_)) => {}
                Err(source) => return Err(Error::of("check the guards", source)),
            }
            match patience.pause().await {
                Err(Error::TimedOut { seconds, .. }) => {
                    return Err(Error::GuardsNotInForce { seconds });
                }
                other => other?,
            }
        }
    }
}
