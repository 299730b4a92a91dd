//! Onboarding to offboarding, over all configured layers.
//!
//! The registry says how far an organization has come, and each layer's part can be repeated. So a
//! crash at any step is mended by running the same call again.

use std::fmt;

use cupel_tenant::{Changes, Erasure, LayerName, OrgId, OrgSpec, OrgState};

use crate::progress::Step;
use crate::{Error, Isolation};

impl Isolation {
    /// Makes an organization usable in every configured layer. Run it again after a crash, or to
    /// change the tier.
    ///
    /// # Errors
    ///
    /// [`Error::State`] for an organization that is suspended, being erased, or erased, also if it became so
    /// meanwhile; [`Error::NoRegistry`]; [`Error::Layer`] if a layer could not do its part, and then the
    /// organization stays as it was: `onboarding`, unless it was active before.
    pub async fn onboard(&self, spec: OrgSpec) -> Result<Onboarded, Error> {
        let registry = self.registry()?;
        let org = spec.org_id();
        if let Some(record) = registry.find(org).await?
            && !BEFORE_ACTIVE.contains(&record.state)
        {
            return Err(refused(org, record.state));
        }
        registry.register(&spec).await?;
        let mut layers = Vec::new();
        for layer in self.layer_list() {
            self.tell(Step { layer: layer.name(), org, action: "provisioning" });
            layers.push((layer.name(), layer.provision(&spec).await?));
        }
        // Who suspended it meanwhile meant it.
        self.advance(org, &BEFORE_ACTIVE, OrgState::Active).await?;
        Ok(Onboarded { org: org.clone(), layers })
    }

    /// Refuses an organization in every configured layer, and keeps its data.
    ///
    /// The registry refuses first, so nobody enters while the layers follow.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]; [`Error::State`] for one that is not active or suspended;
    /// [`Error::Layer`] if a layer could not do its part: run it again.
    pub async fn suspend(&self, org: &OrgId) -> Result<(), Error> {
        self.advance(org, &IN_USE, OrgState::Suspended).await?;
        for layer in self.layer_list() {
            self.tell(Step { layer: layer.name(), org, action: "suspending" });
            layer.suspend(org).await?;
        }
        Ok(())
    }

    /// Lets a suspended organization in again.
    ///
    /// The layers open in reverse, and the registry last, so nobody enters half of it.
    ///
    /// # Errors
    ///
    /// As for [`suspend`](Self::suspend), and if it was offboarded meanwhile.
    pub async fn resume(&self, org: &OrgId) -> Result<(), Error> {
        let record = self.record(org).await?;
        if !IN_USE.contains(&record.state) {
            return Err(refused(org, record.state));
        }
        for layer in self.layer_list().into_iter().rev() {
            self.tell(Step { layer: layer.name(), org, action: "resuming" });
            layer.resume(org).await?;
        }
        self.advance(org, &IN_USE, OrgState::Active).await
    }

    /// Suspends an organization, erases it from every configured layer, and scans for what is left.
    ///
    /// There is no way back from the first step on. The id is not used again.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]; [`Error::State`] if it was resumed meanwhile; [`Error::Residue`] if something
    /// was still found; [`Error::Layer`] if a layer could not do its part. From its suspension on the
    /// organization stays `offboarding` until nothing is left: run it again.
    pub async fn offboard(&self, org: &OrgId) -> Result<Certificate, Error> {
        match self.record(org).await?.state {
            OrgState::Active | OrgState::Suspended => {
                self.suspend(org).await?;
                // Not from `active`: who resumed it meanwhile has opened its layers.
                let from = [OrgState::Suspended, OrgState::Offboarding];
                self.advance(org, &from, OrgState::Offboarding).await?;
            }
            // Nobody has entered yet, and a layer may hold nothing that it could suspend.
            OrgState::Onboarding => {
                let from = [OrgState::Onboarding, OrgState::Offboarding];
                self.advance(org, &from, OrgState::Offboarding).await?;
            }
            // It was suspended before; what is left of the work is to erase, or to look once more.
            _ => {}
        }
        let mut layers = Vec::new();
        for layer in self.layer_list().into_iter().rev() {
            self.tell(Step { layer: layer.name(), org, action: "erasing" });
            layers.push((layer.name(), layer.erase(org).await?));
        }
        layers.reverse();
        let certificate = Certificate { org: org.clone(), layers };
        if !certificate.is_complete() {
            return Err(Error::Residue { certificate });
        }
        self.advance(org, &[OrgState::Offboarding, OrgState::Erased], OrgState::Erased).await?;
        Ok(certificate)
    }

    /// Moves the registry on, unless the organization has left the states `from` in the meantime.
    async fn advance(&self, org: &OrgId, from: &[OrgState], to: OrgState) -> Result<(), Error> {
        match self.registry()?.set_state(org, from, to).await? {
            Some(state) if state == to => Ok(()),
            Some(state) => Err(refused(org, state)),
            None => Err(Error::Unknown { org: org.clone() }),
        }
    }
}

/// The states that onboarding leads to `active` from.
const BEFORE_ACTIVE: [OrgState; 2] = [OrgState::Onboarding, OrgState::Active];
/// The states that suspending and resuming lead between.
const IN_USE: [OrgState; 2] = [OrgState::Active, OrgState::Suspended];

/// Why an organization in this state is not served, or not led on.
pub(crate) fn refused(org: &OrgId, state: OrgState) -> Error {
    let remedy = match state {
        OrgState::Onboarding => "finish onboarding it first",
        OrgState::Active => "it was let in meanwhile; run it again",
        OrgState::Suspended => "resume it first",
        _ => "nothing leads back from there, and its id is not used again",
    };
    Error::State { org: org.clone(), state, remedy }
}

/// What onboarding changed, layer by layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Onboarded {
    org: OrgId,
    layers: Vec<(LayerName, Changes)>,
}

impl Onboarded {
    /// Returns the organization.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// Returns what changed in each configured layer; an empty list of changes where all was as
    /// wanted.
    pub fn layers(&self) -> &[(LayerName, Changes)] {
        &self.layers
    }
}

/// What was erased of an organization, and that a scan of every configured layer found nothing left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    org: OrgId,
    layers: Vec<(LayerName, Erasure)>,
}

impl Certificate {
    /// Returns the organization.
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// Returns what was erased, layer by layer.
    pub fn layers(&self) -> &[(LayerName, Erasure)] {
        &self.layers
    }

    /// Returns whether nothing was found in any layer.
    pub fn is_complete(&self) -> bool {
        self.layers.iter().all(|(_, erasure)| erasure.is_complete())
    }

    /// Returns what was still found, as one line of text.
    pub fn residue(&self) -> impl fmt::Display {
        let found: Vec<String> = self
            .layers
            .iter()
            .flat_map(|(layer, erasure)| {
                erasure.residue().iter().map(move |left| format!("{layer}: {left}"))
            })
            .collect();
        found.join(", ")
    }
}
