//! The attack suite: each organization of a pair attacks the other through every public handle.

mod lifecycle;
mod sessions;
mod stage;
mod status;
mod values;

use cupel_tenant::{Attempt, OrgPair};

use crate::Error;
use crate::TenantCache;
use stage::Stage;

/// Runs every attack in both directions.
pub(crate) async fn prove(cache: &TenantCache, pair: &OrgPair) -> Result<Vec<Attempt>, Error> {
    let mut attempts = Vec::new();
    for (attacker, victim) in pair.directions() {
        let stage = Stage::set(cache, attacker, victim).await?;
        attempts.extend(values::attack(&stage).await);
        attempts.extend(sessions::attack(&stage).await);
        attempts.extend(status::attack(&stage).await);
        attempts.extend(lifecycle::attack(&stage).await);
    }
    Ok(attempts)
}
