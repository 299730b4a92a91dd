use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cupel_tenant::{OrgId, TenantScope};
use zeroize::Zeroizing;

use crate::cache::{CacheLimits, DataKeys};
use crate::cipher;
use crate::context::canonical;
use crate::envelope::Parsed;
use crate::provider::{EncryptionContext, KeyAdmin, KeyAlias, KeyProvider, KeyState, OrgKey};
use crate::{Class, DataKey, DataKeyId, Error, RecordContext, ScopedKeys};

/// The client's own guards, as values: tests take one out and see the attack suite report the leak.
/// Nothing outside tests makes other ones than the default.
#[derive(Clone, Copy)]
pub(crate) struct Guards {
    pub(crate) owns: fn(&OrgId, &OrgKey) -> bool,
    pub(crate) bind: fn(&str, &OrgId, Class, DataKeyId) -> EncryptionContext,
    pub(crate) write_place: fn(&str, &TenantScope, &RecordContext) -> Result<Vec<u8>, Error>,
    pub(crate) open: Open,
    pub(crate) purge: bool,
}

type Open = fn(&Parsed<'_>, &DataKey, &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>;

impl Default for Guards {
    fn default() -> Self {
        Self {
            owns: |org, key| key.owner.as_ref() == Some(org),
            bind: EncryptionContext::of,
            write_place: canonical,
            open: cipher::open,
            purge: true,
        }
    }
}

/// The keys of many organizations, one key service key each.
///
/// Cloning shares the caches. Use goes through [`scoped`](Self::scoped); life and proof through
/// [`IsolationLayer`](cupel_tenant::IsolationLayer).
///
/// # How soon a suspended organization is refused
///
/// In the process that suspends: as soon as the key service has disabled the key, since what this process
/// holds is purged with it. In others: when the data keys that they hold in memory end, which is at
/// most [`cache_ttl`](TenantKeysBuilder::cache_ttl) (300 s unless said otherwise) after the key service
/// gave them. To both comes the time that the service takes to disable a key everywhere (AWS KMS:
/// seconds, as a rule).
#[derive(Clone)]
pub struct TenantKeys {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) provider: Arc<dyn KeyProvider>,
    pub(crate) admin: Option<Arc<dyn KeyAdmin>>,
    pub(crate) production: bool,
    pub(crate) deletion_window: u8,
    pub(crate) limits: CacheLimits,
    pub(crate) cache: DataKeys,
    pub(crate) guards: Guards,
}

impl TenantKeys {
    /// Keys in production, with the defaults of [`builder`](Self::builder).
    ///
    /// # Errors
    ///
    /// What production refuses: [`Error::LocalKeyring`], [`Error::PlainEndpoint`],
    /// [`Error::SensitiveBodies`].
    pub fn new(service: impl KeyProvider + KeyAdmin) -> Result<Self, Error> {
        Self::builder(service).build()
    }

    /// Starts keys on a key service that this process may also administer.
    pub fn builder<S: KeyProvider + KeyAdmin>(service: S) -> TenantKeysBuilder {
        let service = Arc::new(service);
        let provider: Arc<dyn KeyProvider> = Arc::<S>::clone(&service);
        TenantKeysBuilder { admin: Some(service), ..TenantKeysBuilder::of(provider) }
    }

    /// Starts keys for a process that seals and opens, and may not make, disable or delete keys.
    pub fn data_plane(provider: Arc<dyn KeyProvider>) -> TenantKeysBuilder {
        TenantKeysBuilder::of(provider)
    }

    /// Returns the keys of one tenant.
    pub fn scoped(&self, scope: &TenantScope) -> ScopedKeys {
        ScopedKeys::new(self.clone(), scope.clone())
    }

    /// The name of the environment that wrapped keys and places are bound to.
    pub(crate) fn environment(&self) -> &'static str {
        if self.inner.production { "production" } else { "development" }
    }

    /// Keys on the same service with nothing in memory, as another process has them.
    pub(crate) fn as_another_process(&self) -> Self {
        let Inner { provider, admin, production, deletion_window, limits, guards, .. } =
            &*self.inner;
        Self {
            inner: Arc::new(Inner {
                provider: Arc::clone(provider),
                admin: admin.clone(),
                production: *production,
                deletion_window: *deletion_window,
                limits: *limits,
                cache: DataKeys::new(*limits),
                guards: *guards,
            }),
        }
    }

    pub(crate) fn admin(&self) -> Result<&dyn KeyAdmin, Error> {
        self.inner.admin.as_deref().ok_or(Error::NoAdmin)
    }

    /// The key of an organization, pinned: its alias is followed once and never trusted again.
    pub(crate) async fn key_of(&self, org: &OrgId) -> Result<OrgKey, Error> {
        let ask = async {
            let key = self.owned_key(&KeyAlias::of(org)).await?;
            match key.state {
                KeyState::Enabled => Ok(key),
                KeyState::PendingDeletion => Err(Error::AwaitsDeletion),
                KeyState::Disabled | KeyState::Unavailable => Err(Error::Disabled),
            }
        };
        self.inner.cache.pin(self.inner.cache.generation(org), ask).await
    }

    /// The key that an alias points to, in any state, if it was made for the alias' organization.
    pub(crate) async fn owned_key(&self, alias: &KeyAlias) -> Result<OrgKey, Error> {
        let key = self.inner.provider.describe(alias).await?;
        if (self.inner.guards.owns)(alias.org_id(), &key) {
            Ok(key)
        } else {
            Err(Error::ForeignKey)
        }
    }

    /// Purges an organization's keys if the key service has taken its key away.
    pub(crate) async fn heed<T>(&self, org: &OrgId, answer: Result<T, Error>) -> Result<T, Error> {
        if answer.as_ref().is_err_and(Error::takes_the_key_away) {
            tracing::warn!(%org, "the key service refuses the key: cached data keys are purged");
            self.purge(org).await;
        }
        answer
    }

    /// Forgets what is in memory of an organization.
    pub(crate) async fn purge(&self, org: &OrgId) {
        if self.inner.guards.purge {
            self.inner.cache.purge(org).await;
        }
    }
}

impl fmt::Debug for TenantKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantKeys")
            .field("production", &self.inner.production)
            .finish_non_exhaustive()
    }
}

/// What [`TenantKeys`] are built from. Production unless said otherwise.
#[must_use = "a builder does nothing until it is built"]
pub struct TenantKeysBuilder {
    provider: Arc<dyn KeyProvider>,
    admin: Option<Arc<dyn KeyAdmin>>,
    production: bool,
    deletion_window: u8,
    limits: CacheLimits,
    guards: Guards,
}

impl TenantKeysBuilder {
    fn of(provider: Arc<dyn KeyProvider>) -> Self {
        Self {
            provider,
            admin: None,
            production: true,
            deletion_window: 7,
            limits: CacheLimits::default(),
            guards: Guards::default(),
        }
    }

    /// Says whether this is production. What is sealed in one does not open in the other.
    pub fn production(self, production: bool) -> Self {
        Self { production, ..self }
    }

    /// How long data keys serve from memory, counted from before the key service was asked: 300 s
    /// unless said otherwise, 900 s at most. Zero keeps none, and asks for each message.
    pub fn cache_ttl(mut self, ttl: Duration) -> Self {
        self.limits.ttl = ttl;
        self
    }

    /// How many messages one data key seals at most: 2^24 unless said otherwise. Every message has a
    /// derived key of its own, so this bounds what one lost data key opens, not a nonce.
    pub fn messages_per_data_key(mut self, messages: u64) -> Self {
        self.limits.messages = messages;
        self
    }

    /// How many days an erased organization's key can still be rescued at the key service: 7 unless
    /// said otherwise, 30 at most (AWS KMS API reference, `ScheduleKeyDeletion`).
    pub fn deletion_window_days(self, days: u8) -> Self {
        Self { deletion_window: days, ..self }
    }

    #[cfg(test)]
    pub(crate) fn guards(self, guards: Guards) -> Self {
        Self { guards, ..self }
    }

    /// Puts it together, without I/O.
    ///
    /// # Errors
    ///
    /// What production refuses, [`Error::DeletionWindow`] and [`Error::CacheLimits`].
    pub fn build(self) -> Result<TenantKeys, Error> {
        let Self { provider, admin, production, deletion_window, limits, guards } = self;
        if production {
            provider.check_production()?;
        }
        if !(7..=30).contains(&deletion_window) {
            return Err(Error::DeletionWindow);
        }
        limits.check()?;
        let cache = DataKeys::new(limits);
        let inner = Inner { provider, admin, production, deletion_window, limits, cache, guards };
        Ok(TenantKeys { inner: Arc::new(inner) })
    }
}

impl fmt::Debug for TenantKeysBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantKeysBuilder")
            .field("production", &self.production)
            .finish_non_exhaustive()
    }
}
