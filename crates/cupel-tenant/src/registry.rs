use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::{LayerError, OrgId, OrgSpec, Tier};

/// Which organizations exist, and in which state.
///
/// Where the registry lives is a deployment decision (PostgreSQL, or a service's own), so the facade
/// holds an `Arc<dyn Registry>`; that is why the trait is boxed by `async_trait`.
///
/// # Contract
///
/// Every method is durable when it returns `Ok`. States move along [`OrgState::may_become`] only, and only
/// from those that the caller names; an implementation compares and writes in one step, so that of two
/// processes that move an organization at once, each knows whether it did.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Returns what is known of `org`; `None` if it was never registered.
    ///
    /// # Errors
    ///
    /// When the registry cannot be read.
    async fn find(&self, org: &OrgId) -> Result<Option<OrgRecord>, LayerError>;

    /// Returns all organizations, ordered by id.
    ///
    /// # Errors
    ///
    /// When the registry cannot be read.
    async fn list(&self) -> Result<Vec<OrgRecord>, LayerError>;

    /// Registers an organization as [`OrgState::Onboarding`], or updates the tier of one that exists.
    /// Returns the record as it now stands; the state of an existing one is left as it is.
    ///
    /// # Errors
    ///
    /// When the registry cannot be written, or the organization is erased: ids are not used twice.
    async fn register(&self, spec: &OrgSpec) -> Result<OrgRecord, LayerError>;

    /// Moves an organization to the state `to`, if it is in one of the states `from`; otherwise nothing
    /// changes.
    ///
    /// Returns the state that it is in afterwards: another one than `to` if it was not moved. `None` if it
    /// was never registered.
    ///
    /// # Errors
    ///
    /// When the registry cannot be written.
    async fn set_state(
        &self,
        org: &OrgId,
        from: &[OrgState],
        to: OrgState,
    ) -> Result<Option<OrgState>, LayerError>;

    /// Removes every trace of an organization from the registry, for canaries. Removing one that is
    /// not there changes nothing.
    ///
    /// # Errors
    ///
    /// When the registry cannot be written.
    async fn forget(&self, org: &OrgId) -> Result<(), LayerError>;
}

/// One organization in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrgRecord {
    /// The organization.
    pub org: OrgId,
    /// Its tier.
    pub tier: Tier,
    /// Where it stands in its life.
    pub state: OrgState,
    /// When it was first registered.
    pub created: SystemTime,
}

impl OrgRecord {
    /// A record, as a registry reads it.
    pub fn new(org: OrgId, tier: Tier, state: OrgState, created: SystemTime) -> Self {
        Self { org, tier, state, created }
    }
}

/// Where an organization stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum OrgState {
    /// Being provisioned; not usable yet. Onboarding again finishes it.
    Onboarding,
    /// In use.
    Active,
    /// Refused in every layer; nothing is lost.
    Suspended,
    /// Being erased. Offboarding again finishes it; nothing leads back.
    Offboarding,
    /// Gone, and its id is not used again.
    Erased,
}

impl OrgState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 5] =
        [Self::Onboarding, Self::Active, Self::Suspended, Self::Offboarding, Self::Erased];

    /// Returns whether an organization in this state may move to `next`. Staying is always allowed.
    pub fn may_become(self, next: Self) -> bool {
        self == next
            || matches!(
                (self, next),
                (Self::Onboarding, Self::Active)
                    | (Self::Active, Self::Suspended)
                    | (Self::Suspended, Self::Active)
                    | (Self::Onboarding | Self::Active | Self::Suspended, Self::Offboarding)
                    | (Self::Offboarding, Self::Erased)
            )
    }

    /// Returns the state as text: its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Onboarding => "onboarding",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Offboarding => "offboarding",
            Self::Erased => "erased",
        }
    }
}

impl fmt::Display for OrgState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for OrgState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownState)
    }
}

/// The text given is not the name of an [`OrgState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown organization state")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct UnknownState;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_back_from_offboarding() {
        for state in OrgState::ALL {
            assert_eq!(OrgState::Erased.may_become(state), state == OrgState::Erased);
        }
        assert!(!OrgState::Offboarding.may_become(OrgState::Active));
        assert!(!OrgState::Offboarding.may_become(OrgState::Suspended));
        assert!(OrgState::Offboarding.may_become(OrgState::Erased));
    }

    #[test]
    fn names_parse_back() {
        for state in OrgState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
        }
    }
}
