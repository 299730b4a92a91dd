//! Putting the guards in force.

use std::time::Duration;

use cupel_tenant::Changes;
use kube::api::{DynamicObject, PostParams};

use crate::guards::{NAMESPACES, forged_namespace};
use crate::manifest::Kind;
use crate::wait::Patience;
use crate::{Error, TenantCluster, guards};

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
            self.wait_for_guards().await?;
        }
        Ok(changes)
    }

    /// The guard of namespaces holds for us too, so we can see it refuse. Its binding is written
    /// last, and the API server takes up policies and bindings as a whole.
    async fn wait_for_guards(&self) -> Result<(), Error> {
        let api = self.api(Kind::Namespace, None);
        let forged: DynamicObject = serde_json::from_value(forged_namespace())
            .map_err(|source| Error::of("read our own object", kube::Error::SerdeError(source)))?;
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let patience = Patience::with("the guards were not in force", DEADLINE);
        loop {
            match api.create(&dry_run, &forged).await {
                Err(kube::Error::Api(status)) if status.message.contains(NAMESPACES) => {
                    return Ok(());
                }
                // Refused by something else, or not at all: not yet.
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
