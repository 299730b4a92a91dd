use uuid::Uuid;

use crate::{OrgId, Tier};

/// What an organization is to be: its identity and its tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgSpec {
    org: OrgId,
    tier: Tier,
}

impl OrgSpec {
    /// An organization of one tier.
    pub fn new(org: OrgId, tier: Tier) -> Self {
        Self { org, tier }
    }

    /// Returns the organization.
    pub fn org_id(&self) -> &OrgId {
        &self.org
    }

    /// Returns the tier.
    pub fn tier(&self) -> &Tier {
        &self.tier
    }
}

/// Two different organizations that attack each other.
///
/// # Examples
///
/// ```
/// use cupel_tenant::OrgPair;
///
/// let pair = OrgPair::new("acme".parse()?, "globex".parse()?)?;
/// let [(attacker, victim), _] = pair.directions();
/// assert_eq!((attacker.as_str(), victim.as_str()), ("acme", "globex"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgPair {
    first: OrgId,
    second: OrgId,
}

impl OrgPair {
    /// Two organizations.
    ///
    /// # Errors
    ///
    /// [`SameOrg`] if they are one.
    pub fn new(first: OrgId, second: OrgId) -> Result<Self, SameOrg> {
        if first == second { Err(SameOrg) } else { Ok(Self { first, second }) }
    }

    /// A pair of canaries: organizations made to be attacked, and erased afterwards.
    ///
    /// Both are UUIDs, so that they fit databases of either column type, and equal in all but their
    /// last digit, so that a comparison that stops early confuses them.
    pub fn canary(nonce: Uuid) -> Self {
        let bits = nonce.as_u128() & !0xf;
        Self {
            first: Uuid::from_u128(bits | 0xa).into(),
            second: Uuid::from_u128(bits | 0xb).into(),
        }
    }

    /// Returns the first organization.
    pub fn first(&self) -> &OrgId {
        &self.first
    }

    /// Returns the second organization.
    pub fn second(&self) -> &OrgId {
        &self.second
    }

    /// Returns both directions of attack, each as (attacker, victim).
    pub fn directions(&self) -> [(&OrgId, &OrgId); 2] {
        [(&self.first, &self.second), (&self.second, &self.first)]
    }
}

/// The two organizations given are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an organization cannot attack itself: name two different ones")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct SameOrg;
