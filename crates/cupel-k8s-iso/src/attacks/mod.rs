//! The attacks of one organization on another, against the API server.
//!
//! An attacker is the hardest tenant there is: a service account with every right inside its own
//! namespace, the namespace object and role bindings included. What it tries to change is tried as a
//! dry run: the API server authenticates, authorizes and admits it like any other request, and
//! stores nothing, so that a leak breaks no cluster.
//!
//! The control is the same act by whom it belongs to: the victim in its own namespace, or, for what
//! no tenant may do, the platform's own account.

mod access;
mod labels;
mod policies;
mod stage;
mod verdict;
mod workloads;

use cupel_tenant::{Attack, Attempt, Control, LayerName, Observed, OrgPair};

use crate::{Error, TenantCluster};
use stage::Tenant;

/// The name of everything that the attacks put into a namespace.
const CANARY: &str = "cupel-canary";

pub(crate) async fn prove(cluster: &TenantCluster, pair: &OrgPair) -> Result<Vec<Attempt>, Error> {
    cluster.require_manager()?;
    let (first, second) = futures::try_join!(
        Tenant::enter(cluster, pair.first()),
        Tenant::enter(cluster, pair.second()),
    )?;
    let one = Duel { cluster, attacker: &first, victim: &second };
    let other = Duel { cluster, attacker: &second, victim: &first };
    let (mut attempts, back) = futures::join!(one.fight(), other.fight());
    attempts.extend(back);
    futures::try_join!(first.leave(cluster), second.leave(cluster))?;
    Ok(attempts)
}

/// One direction: who attacks whom.
struct Duel<'a> {
    cluster: &'a TenantCluster,
    attacker: &'a Tenant,
    victim: &'a Tenant,
}

impl Duel<'_> {
    async fn fight(&self) -> Vec<Attempt> {
        let mut attempts = self.access().await;
        attempts.extend(self.labels().await);
        attempts.extend(self.policies().await);
        attempts.extend(self.workloads().await);
        attempts
    }

    fn conclude(&self, name: &'static str, observed: Observed, control: Control) -> Attempt {
        Attack::new(LayerName::Cluster, name, &self.attacker.org, &self.victim.org)
            .conclude(observed, control)
    }
}
