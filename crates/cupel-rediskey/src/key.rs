//! How a key is written, and parsed back. No I/O.

use std::fmt;

use cupel_tenant::{OrgId, TenantScope, WorkspaceId};

/// What every key of ours starts with.
const ROOT: &str = "org";

/// What a key holds; the part of its name after the organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Namespace {
    /// Values that can be made again, in families.
    Cache,
    /// Generations, indexes and the mark of suspension: ours, never a caller's.
    Meta,
    /// Sessions, by the digest of their token.
    Session,
    /// What live pipelines last said of themselves.
    Status,
}

impl Namespace {
    /// Every namespace.
    pub const ALL: [Self; 4] = [Self::Cache, Self::Meta, Self::Session, Self::Status];

    /// Returns the name as it stands in a key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Meta => "meta",
            Self::Session => "session",
            Self::Status => "status",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The name of one key: `org:{org_id}:{namespace}:{tail}`, or `org:{org_id}.{workspace_id}:…` in a
/// workspace.
///
/// Organization and workspace ids hold neither `:` nor `.`, and a namespace is one of a few words, so
/// the first three separators are ours whatever the tail holds, and every key parses back to the scope
/// that it was made for. The tail is the caller's bytes and comes last. In the cache its first part is
/// the family: `org:acme-corp:cache:schemas:crm.contacts`.
///
/// A tail may hold braces. They would choose the hash slot in a Redis Cluster, which is refused at
/// [connect](crate::TenantCache::connect).
///
/// # Examples
///
/// ```
/// use cupel_rediskey::{Key, Namespace};
/// use cupel_tenant::TenantScope;
///
/// let scope = TenantScope::org("acme-corp".parse()?);
/// let key = Key::new(&scope, Namespace::Status, b"nightly")?;
/// assert_eq!(key.as_bytes(), b"org:acme-corp:status:nightly");
/// assert_eq!(Key::parse(key.as_bytes())?, key);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key {
    org: OrgId,
    workspace: Option<WorkspaceId>,
    namespace: Namespace,
    bytes: Vec<u8>,
    tail_len: usize,
}

impl Key {
    /// The longest tail, in bytes, a family and its separator included. A limit of ours: longer
    /// names are better kept as a digest, and the name is stored with every value.
    pub const MAX_TAIL_LEN: usize = 512;

    /// Names a key of `scope`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the tail is empty or longer than [`Key::MAX_TAIL_LEN`].
    pub fn new(scope: &TenantScope, namespace: Namespace, tail: &[u8]) -> Result<Self, InvalidKey> {
        Self::from_parts(scope.org_id().clone(), scope.workspace_id().cloned(), namespace, tail)
    }

    /// Reads a key that [`Key::new`] has written.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if no scope could have made it.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let mut parts = bytes.splitn(4, |byte| *byte == b':');
        let mut next = || parts.next().ok_or(InvalidKey::Unparsable);
        let (root, owner, namespace, tail) = (next()?, next()?, next()?, next()?);
        if root != ROOT.as_bytes() {
            return Err(InvalidKey::Unparsable);
        }
        let owner = str::from_utf8(owner).map_err(|_| InvalidKey::Unparsable)?;
        let (org, workspace) = match owner.split_once('.') {
            Some((org, workspace)) => (org, Some(workspace)),
            None => (owner, None),
        };
        let org = org.parse().map_err(|_| InvalidKey::Unparsable)?;
        let workspace =
            workspace.map(str::parse).transpose().map_err(|_| InvalidKey::Unparsable)?;
        let namespace = Namespace::ALL
            .into_iter()
            .find(|it| it.as_str().as_bytes() == namespace)
            .ok_or(InvalidKey::Unparsable)?;
        Self::from_parts(org, workspace, namespace, tail)
    }

    fn from_parts(
        org: OrgId,
        workspace: Option<WorkspaceId>,
        namespace: Namespace,
        tail: &[u8],
    ) -> Result<Self, InvalidKey> {
        match tail.len() {
            0 => Err(InvalidKey::Empty),
            len if len > Self::MAX_TAIL_LEN => Err(InvalidKey::TooLong { len }),
            _ => Ok(Self::assemble(org, workspace, namespace, tail)),
        }
    }

    /// A key of our own bookkeeping. `parts` are a few words of ours and at most a family, so the tail
    /// is neither empty nor too long.
    pub(crate) fn meta(scope: &TenantScope, parts: &[&str]) -> Self {
        let (org, workspace) = (scope.org_id().clone(), scope.workspace_id().cloned());
        Self::assemble(org, workspace, Namespace::Meta, parts.join(":").as_bytes())
    }

    fn assemble(
        org: OrgId,
        workspace: Option<WorkspaceId>,
        namespace: Namespace,
        tail: &[u8],
    ) -> Self {
        let mut bytes = Vec::with_capacity(128 + tail.len());
        for part in [ROOT, ":", org.as_str()] {
            bytes.extend_from_slice(part.as_bytes());
        }
        if let Some(workspace) = &workspace {
            bytes.push(b'.');
            bytes.extend_from_slice(workspace.as_str().as_bytes());
        }
        for part in [":", namespace.as_str(), ":"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(tail);
        Self { org, workspace, namespace, bytes, tail_len: tail.len() }
    }

    /// Returns the organization that the key belongs to.
    pub fn org_id(&self) -> &OrgId {
        &self.org
    }

    /// Returns the workspace that the key belongs to, if it is one's.
    pub fn workspace_id(&self) -> Option<&WorkspaceId> {
        self.workspace.as_ref()
    }

    /// Returns what the key holds.
    pub fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// Returns the part that the caller chose.
    pub fn tail(&self) -> &[u8] {
        let (_, tail) = self.bytes.split_at(self.bytes.len() - self.tail_len);
        tail
    }

    /// Returns the whole name, as Redis knows it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Returns the pattern that SCAN finds every key of `org` with, its workspaces' included.
///
/// Nothing needs escaping: no character of an organization id means anything to Redis' patterns
/// outside of brackets.
pub(crate) fn pattern(org: &OrgId) -> String {
    format!("{ROOT}:{org}[:.]*")
}

/// Returns whether a key of this name is `org`'s, or one of its workspaces', whatever else it holds.
pub(crate) fn belongs_to(org: &OrgId, key: &[u8]) -> bool {
    key.strip_prefix(ROOT.as_bytes())
        .and_then(|rest| rest.strip_prefix(b":"))
        .and_then(|rest| rest.strip_prefix(org.as_str().as_bytes()))
        .is_some_and(|rest| matches!(rest.first(), Some(b':' | b'.')))
}

/// Why bytes are not a [`Key`], or no tail of one. They are not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The tail is empty.
    #[error("invalid key: it is empty")]
    Empty,

    /// The tail is longer than [`Key::MAX_TAIL_LEN`].
    #[error(
        "invalid key: it is {len} bytes long, and at most {} are allowed; use a digest of it",
        Key::MAX_TAIL_LEN
    )]
    TooLong {
        /// The length of the tail, in bytes.
        len: usize,
    },

    /// No scope could have made such a key.
    #[error("invalid key: it is not of the form org:id:namespace:key")]
    Unparsable,
}
