//! What a key service does for an organization.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use cupel_tenant::{Health, OrgId};

use crate::{Class, DataKey, DataKeyId, Error, WrappedKey};

/// A key service as it serves data: AWS KMS, a local keyring, a fake in a test.
///
/// Which one runs is a deployment decision, so callers hold an `Arc<dyn KeyProvider>`; that is why the
/// trait is boxed by `async_trait`. One allocation is nothing beside the network round trip. The rights
/// to make and delete keys are in [`KeyAdmin`], so that a process that serves data need not have them.
///
/// # Contract
///
/// The encryption context is bound into the wrapped key as authenticated data; an implementation does
/// not compare texts afterwards. A key is used by its immutable [`KeyId`] only, and a wrapped key that
/// was made with another one is refused with [`Error::DoesNotOpen`].
#[async_trait]
pub trait KeyProvider: Send + Sync + 'static {
    /// Refuses what production must not run on.
    ///
    /// # Errors
    ///
    /// [`Error::LocalKeyring`], [`Error::PlainEndpoint`], [`Error::SensitiveBodies`].
    fn check_production(&self) -> Result<(), Error>;

    /// Asks the service who it is.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] or [`Error::Credentials`].
    async fn health(&self) -> Result<Health, Error>;

    /// Returns the key that an alias points to now; [`OrgKey::owner`] is for the caller to check.
    ///
    /// # Errors
    ///
    /// [`Error::NoKey`] if there is no such alias, and whatever the service reports.
    async fn describe(&self, alias: &KeyAlias) -> Result<OrgKey, Error>;

    /// Makes a data key that only `key` unwraps, under `context` only.
    ///
    /// # Errors
    ///
    /// [`Error::Disabled`], [`Error::Denied`] and the like, or that the service fails.
    async fn generate(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error>;

    /// Unwraps a data key that was made with `key` under `context`.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotOpen`] if it was made with another key or context or was altered,
    /// [`Error::Disabled`], [`Error::Denied`] and the like, or that the service fails.
    async fn unwrap_key(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, Error>;
}

/// A key service as it is administered. See [`KeyProvider`] for why the trait is boxed.
///
/// # Contract
///
/// Every method may be repeated, and then changes nothing.
#[async_trait]
pub trait KeyAdmin: Send + Sync + 'static {
    /// Makes a key for `org`, tagged with it, and points the organization's alias to it. If another
    /// process was faster, returns that process' key.
    ///
    /// # Errors
    ///
    /// Whatever the service reports.
    async fn create(&self, org: &OrgId) -> Result<OrgKey, Error>;

    /// Points `alias` to `key`, whether or not it exists.
    ///
    /// # Errors
    ///
    /// Whatever the service reports.
    async fn point_alias(&self, alias: &KeyAlias, key: &KeyId) -> Result<(), Error>;

    /// Deletes an alias; returns whether there was one.
    ///
    /// # Errors
    ///
    /// Whatever the service reports.
    async fn delete_alias(&self, alias: &KeyAlias) -> Result<bool, Error>;

    /// Returns the state of a key.
    ///
    /// # Errors
    ///
    /// [`Error::NoKey`] if it is gone, and whatever the service reports.
    async fn state(&self, key: &KeyId) -> Result<KeyState, Error>;

    /// Lets a disabled key serve again.
    ///
    /// # Errors
    ///
    /// [`Error::AwaitsDeletion`], and whatever the service reports.
    async fn enable(&self, key: &KeyId) -> Result<(), Error>;

    /// Stops a key from serving.
    ///
    /// # Errors
    ///
    /// [`Error::AwaitsDeletion`], and whatever the service reports.
    async fn disable(&self, key: &KeyId) -> Result<(), Error>;

    /// Stops a key from serving at once and for good in `days` days, 7 to 30.
    ///
    /// # Errors
    ///
    /// Whatever the service reports.
    async fn schedule_deletion(&self, key: &KeyId, days: u8) -> Result<(), Error>;
}

/// The name that an organization's key is looked up by: `alias/cupel-org-{org_id}`.
///
/// An alias can be pointed elsewhere, so it only leads to the key; the key's own id is what is used.
///
/// # Examples
///
/// ```
/// use cupel_kms::KeyAlias;
///
/// let alias = KeyAlias::of(&"acme-corp".parse()?);
/// assert_eq!(alias.as_str(), "alias/cupel-org-acme-corp");
/// assert_eq!(alias.as_str().parse::<KeyAlias>()?.org_id().as_str(), "acme-corp");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyAlias {
    org: OrgId,
    text: Arc<str>,
}

const ALIAS_PREFIX: &str = "alias/cupel-org-";
/// `/` is in no organization id, so this alias is no organization's own.
const STRAY_SUFFIX: &str = "/stray";

impl KeyAlias {
    /// The alias of an organization.
    pub fn of(org: &OrgId) -> Self {
        Self { org: org.clone(), text: format!("{ALIAS_PREFIX}{org}").into() }
    }

    /// A second alias of an organization, which attacks point where they should not.
    pub(crate) fn stray(org: &OrgId) -> Self {
        Self { org: org.clone(), text: format!("{ALIAS_PREFIX}{org}{STRAY_SUFFIX}").into() }
    }

    /// Returns the alias as the key service knows it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the organization.
    pub fn org_id(&self) -> &OrgId {
        &self.org
    }
}

impl FromStr for KeyAlias {
    type Err = InvalidAlias;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let org = text.strip_prefix(ALIAS_PREFIX).ok_or(InvalidAlias)?;
        Ok(Self::of(&org.parse().map_err(|_| InvalidAlias)?))
    }
}

impl fmt::Display for KeyAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for KeyAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyAlias({})", self.text)
    }
}

/// The text given is not the alias of an organization's key. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the alias of an organization's key: it reads alias/cupel-org- and an organization id")]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct InvalidAlias;

/// The immutable id of a key: on AWS its ARN, which no alias can change the meaning of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Takes the id that a key service gave.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key that an alias points to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OrgKey {
    /// Its immutable id.
    pub id: KeyId,
    /// The organization that it was made for, by the tag `cupel-org`; `None` without a valid one.
    pub owner: Option<OrgId>,
    /// Whether it serves.
    pub state: KeyState,
}

impl OrgKey {
    /// A key, as a key service describes it.
    pub fn new(id: KeyId, owner: Option<OrgId>, state: KeyState) -> Self {
        Self { id, owner, state }
    }
}

/// Whether a key serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyState {
    /// It does not serve, and can be enabled.
    Disabled,
    /// It serves.
    Enabled,
    /// It does not serve, and will be gone.
    PendingDeletion,
    /// It does not serve, for a reason of the key service's own.
    Unavailable,
}

/// What a key service binds a wrapped key to: who it is for, in pairs of lower-case ASCII.
///
/// AWS KMS shows the pairs in its audit log and compares them byte by byte; constraints of grants
/// compare the names without case, so they have none (AWS KMS developer guide, "Encryption context").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncryptionContext(Vec<(&'static str, String)>);

impl EncryptionContext {
    /// The context of one data key of an organization.
    pub fn of(environment: &str, org: &OrgId, class: Class, data_key: DataKeyId) -> Self {
        Self(vec![
            ("cupel-class", class.as_str().to_owned()),
            ("cupel-dk", data_key.to_string()),
            ("cupel-env", environment.to_owned()),
            ("cupel-org", org.as_str().to_owned()),
        ])
    }

    /// No context at all, which only an attacker gives.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Returns the pairs, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}
