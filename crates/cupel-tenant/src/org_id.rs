use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::identifier::{self, IdRule};

/// The identity of one organization.
///
/// An organization id is 1 to [`OrgId::MAX_LEN`] bytes of `a-z`, `0-9` and `-`, with an alphanumeric
/// at either end. The grammar is the intersection of what the five backends accept unescaped, so no
/// separator, wildcard or quote character can appear in one. A text that is a UUID is accepted in its
/// canonical form only (see [`IdRule::NonCanonicalUuid`]).
///
/// Cloning is cheap: the text is shared.
///
/// # Examples
///
/// ```
/// use cupel_tenant::{IdRule, OrgId};
/// use uuid::Uuid;
///
/// let acme: OrgId = "acme-corp".parse()?;
/// assert_eq!(acme.to_string(), "acme-corp");
///
/// let by_uuid = OrgId::from(Uuid::nil());
/// assert_eq!(by_uuid.as_str(), "00000000-0000-0000-0000-000000000000");
///
/// let error = "Acme".parse::<OrgId>().unwrap_err();
/// assert_eq!(error.rule(), IdRule::IllegalByte { offset: 0 });
/// # Ok::<(), cupel_tenant::InvalidOrgId>(())
/// ```
///
/// The text cannot be swapped after the check:
///
/// ```compile_fail,E0423
/// let forged = cupel_tenant::OrgId("acme:*".into());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct OrgId(Arc<str>);

impl OrgId {
    /// The longest accepted identifier, in bytes.
    ///
    /// A Kubernetes name holds 63 bytes, of which `cupel-org-` takes ten.
    pub const MAX_LEN: usize = identifier::MAX_LEN;

    /// Returns the identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the identifier as a UUID, if it is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        Uuid::try_parse(&self.0).ok()
    }
}

impl FromStr for OrgId {
    type Err = InvalidOrgId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        identifier::check(text).map_err(|rule| InvalidOrgId { rule })?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for OrgId {
    type Error = InvalidOrgId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Uuid> for OrgId {
    fn from(id: Uuid) -> Self {
        Self(id.hyphenated().to_string().into())
    }
}

impl From<OrgId> for String {
    fn from(id: OrgId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrgId({})", self.0)
    }
}

/// The text given was not an [`OrgId`].
///
/// The rejected text is not kept: it is untrusted, and errors end up in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid organization id: {rule}")]
pub struct InvalidOrgId {
    rule: IdRule,
}

impl InvalidOrgId {
    /// Returns which rule the text broke.
    pub fn rule(&self) -> IdRule {
        self.rule
    }
}
