use std::time::Duration;

use cupel_tenant::OrgId;
use moka::sync::Cache;

/// How long it is believed that an organization may be let in, after the registry said so.
///
/// A suspension elsewhere is felt after this time at the latest, as in the other layers.
pub(crate) const BELIEVED: Duration = Duration::from_secs(1);

/// The organizations of which the registry has lately said that they may be let in.
#[derive(Clone, Debug)]
pub(crate) struct States(Cache<OrgId, ()>);

impl States {
    pub(crate) fn new() -> Self {
        // Bounded, so that a service with very many organizations holds a few megabytes at most.
        Self(Cache::builder().time_to_live(BELIEVED).max_capacity(100_000).build())
    }

    pub(crate) fn is_believed(&self, org: &OrgId) -> bool {
        self.0.contains_key(org)
    }

    pub(crate) fn believe(&self, org: &OrgId) {
        self.0.insert(org.clone(), ());
    }

    /// From now on the registry is asked again.
    pub(crate) fn doubt(&self, org: &OrgId) {
        self.0.invalidate(org);
    }
}
