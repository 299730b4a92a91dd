use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::identifier::{self, IdRule};

/// The identity of one workspace inside an organization.
///
/// It has the grammar of an [`OrgId`](crate::OrgId) and is a different type, so that neither can
/// stand where the other is meant. Two organizations may use the same workspace id; it means nothing
/// without the organization.
///
/// # Examples
///
/// ```
/// use cupel_tenant::WorkspaceId;
///
/// let analytics: WorkspaceId = "analytics".parse()?;
/// assert_eq!(analytics.as_str(), "analytics");
/// # Ok::<(), cupel_tenant::InvalidWorkspaceId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct WorkspaceId(Arc<str>);

impl WorkspaceId {
    /// The longest accepted identifier, in bytes: the same as of an organization id.
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

impl FromStr for WorkspaceId {
    type Err = InvalidWorkspaceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        identifier::check(text).map_err(|rule| InvalidWorkspaceId { rule })?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for WorkspaceId {
    type Error = InvalidWorkspaceId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Uuid> for WorkspaceId {
    fn from(id: Uuid) -> Self {
        Self(id.hyphenated().to_string().into())
    }
}

impl From<WorkspaceId> for String {
    fn from(id: WorkspaceId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkspaceId({})", self.0)
    }
}

/// The text given was not a [`WorkspaceId`].
///
/// The rejected text is not kept: it is untrusted, and errors end up in logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid workspace id: {rule}")]
pub struct InvalidWorkspaceId {
    rule: IdRule,
}

impl InvalidWorkspaceId {
    /// Returns which rule the text broke.
    pub fn rule(&self) -> IdRule {
        self.rule
    }
}
