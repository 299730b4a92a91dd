use cupel_tenant::{Attack, Attempt, Control, LayerName, Observed, OrgId, TenantScope};
use uuid::Uuid;

use crate::Error;
use crate::ScopedCache;
use crate::TenantCache;
use crate::Ttl;
use crate::room;

/// How long what an attack writes may outlive it.
pub(super) const SHORT: Ttl = Ttl::minutes(5);

/// What an attack saw, and what its control did.
pub(super) type Seen = Result<(Observed, Control), Error>;

/// One organization about to attack another, on a live server.
pub(super) struct Stage {
    pub(super) cache: TenantCache,
    pub(super) attacker: ScopedCache,
    pub(super) victim: ScopedCache,
    /// A text that only the victim writes, new in every run.
    pub(super) secret: String,
}

impl Stage {
    /// Begins the generations of both, so that every attack finds a system in use.
    pub(super) async fn set(
        cache: &TenantCache,
        attacker: &OrgId,
        victim: &OrgId,
    ) -> Result<Self, Error> {
        let scopes = [attacker, victim].map(|org| TenantScope::org(org.clone()));
        for scope in &scopes {
            room::begin(&cache.server, &room::suspended(scope), &room::generation(scope)).await?;
        }
        let [attacker, victim] = scopes.map(|scope| cache.scoped(&scope));
        let secret = format!("written by the owner only, {}", Uuid::new_v4());
        Ok(Self { cache: cache.clone(), attacker, victim, secret })
    }

    pub(super) fn attacker_org(&self) -> &OrgId {
        self.attacker.scope().org_id()
    }

    pub(super) fn victim_org(&self) -> &OrgId {
        self.victim.scope().org_id()
    }

    /// Concludes an attack. One that could not be carried out is not proven.
    pub(super) fn conclude(&self, name: &'static str, seen: Seen) -> Attempt {
        let attack = Attack::new(LayerName::Cache, name, self.attacker_org(), self.victim_org());
        let (observed, control) = seen.unwrap_or_else(|err| {
            (Observed::unclear(format!("not tried: {err}")), Control::failed("not tried"))
        });
        attack.conclude(observed, control)
    }

    /// Judges what the attacker read.
    pub(super) fn read_by_attacker(&self, read: Option<&String>) -> Observed {
        match read {
            Some(value) if *value == self.secret => Observed::reached("reads the owner's value"),
            Some(_) => Observed::refused("reads another value"),
            None => Observed::refused("no such key"),
        }
    }

    /// Judges what the owner still reads once the attacker has done its worst.
    pub(super) fn left_to_owner(&self, read: Option<&String>) -> Observed {
        match read {
            Some(value) if *value == self.secret => {
                Observed::refused("the owner's value is intact")
            }
            Some(_) => Observed::reached("the owner reads another value"),
            None => Observed::reached("the owner's value is gone"),
        }
    }

    /// The control of a read: the owner reads what it wrote.
    pub(super) fn owner_reads(&self, read: Option<&String>) -> Control {
        match read {
            Some(value) if *value == self.secret => Control::held("owner reads it"),
            Some(_) => Control::failed("owner reads another value"),
            None => Control::failed("owner reads nothing"),
        }
    }
}
