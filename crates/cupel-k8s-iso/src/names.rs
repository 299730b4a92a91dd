use std::fmt;
use std::str::FromStr;

use cupel_tenant::{InvalidOrgId, OrgId};

/// The label that says whose a namespace is.
pub(crate) const ORG_LABEL: &str = "cupel.io/org-id";

/// The label that says which tier a namespace was rendered for.
pub(crate) const TIER_LABEL: &str = "cupel.io/tier";

/// The label that says who manages an object, one of the labels that Kubernetes recommends
/// (kubernetes.io/docs/concepts/overview/working-with-objects/common-labels).
pub(crate) const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The value of [`MANAGED_BY_LABEL`] on our objects, and the field manager of server-side apply.
pub(crate) const MANAGER: &str = "cupel";

/// The label that the API server sets on every namespace to its own name, whatever a client sends
/// (KEP-2161).
pub(crate) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The prefix of the names of our objects inside a namespace. The guards reserve it.
pub(crate) const RESERVED_PREFIX: &str = "cupel-";

/// The name of the namespace of one organization: `cupel-org-{org_id}`.
///
/// The prefix takes ten of the 63 bytes of a Kubernetes name (RFC 1123 label), an
/// [`OrgId`] at most 53, and its alphabet needs no escaping. Every name parses back to the
/// organization that it was made for.
///
/// # Examples
///
/// ```
/// use cupel_k8s_iso::NamespaceName;
///
/// let name = NamespaceName::of(&"acme-corp".parse()?);
/// assert_eq!(name.as_str(), "cupel-org-acme-corp");
/// assert_eq!("cupel-org-acme-corp".parse::<NamespaceName>()?.org_id().as_str(), "acme-corp");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceName {
    name: String,
    org: OrgId,
}

impl NamespaceName {
    /// What every organization's namespace begins with.
    pub const PREFIX: &'static str = "cupel-org-";

    /// The namespace of `org`.
    pub fn of(org: &OrgId) -> Self {
        Self { name: format!("{}{org}", Self::PREFIX), org: org.clone() }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns the organization.
    pub fn org_id(&self) -> &OrgId {
        &self.org
    }
}

impl FromStr for NamespaceName {
    type Err = InvalidNamespaceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let org = text.strip_prefix(Self::PREFIX).ok_or(InvalidNamespaceName::Prefix)?;
        Ok(Self::of(&org.parse()?))
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl fmt::Debug for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamespaceName({})", self.name)
    }
}

/// The text given is not the name of an organization's namespace. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNamespaceName {
    /// What follows the prefix is not an organization id. The cause says which rule it breaks.
    #[error("invalid namespace name: what follows the prefix is not an organization id")]
    Org(#[from] InvalidOrgId),

    /// The text does not begin with [`NamespaceName::PREFIX`].
    #[error("invalid namespace name: it does not begin with {}", NamespaceName::PREFIX)]
    Prefix,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_an_organizations() {
        assert_eq!("kube-system".parse::<NamespaceName>(), Err(InvalidNamespaceName::Prefix));
        for text in ["cupel-org-", "cupel-org--a", "cupel-org-A", "cupel-org-a.b"] {
            assert!(matches!(text.parse::<NamespaceName>(), Err(InvalidNamespaceName::Org(_))));
        }
    }

    #[test]
    fn the_longest_organization_fits_a_label() {
        let org: OrgId = "a".repeat(OrgId::MAX_LEN).parse().unwrap();
        assert_eq!(NamespaceName::of(&org).as_str().len(), 63);
    }
}
