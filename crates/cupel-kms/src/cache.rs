//! Data keys in memory, for as long as the key service's last word holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cupel_tenant::OrgId;
use moka::future::Cache;

use crate::provider::OrgKey;
use crate::{Class, DataKey, DataKeyId, Error, WrappedKey};

/// How long, how often and how many data keys serve from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheLimits {
    /// Since the key service gave the key. Zero keeps none.
    pub(crate) ttl: Duration,
    /// How many messages one data key seals.
    pub(crate) messages: u64,
    /// How many data keys are kept, of each kind, over all organizations.
    pub(crate) entries: u64,
}

impl CacheLimits {
    pub(crate) const MAX_TTL: Duration = Duration::from_secs(15 * 60);

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.ttl > Self::MAX_TTL || self.messages == 0 {
            return Err(Error::CacheLimits);
        }
        Ok(())
    }
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(300), messages: 1 << 24, entries: 10_000 }
    }
}

/// A data key in memory, with the moment before the key service was asked for it.
pub(crate) struct Cached {
    pub(crate) id: DataKeyId,
    pub(crate) key: DataKey,
    pub(crate) wrapped: WrappedKey,
    authorized: Instant,
    messages: AtomicU64,
}

impl Cached {
    pub(crate) fn new(
        id: DataKeyId,
        (key, wrapped): (DataKey, WrappedKey),
        authorized: Instant,
    ) -> Arc<Self> {
        Arc::new(Self { id, key, wrapped, authorized, messages: AtomicU64::new(0) })
    }
}

/// An organization until its keys are purged: a purge begins the next generation, so that a key which
/// was on its way during the purge lands where nobody looks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Generation {
    org: OrgId,
    number: u64,
}

/// What an unwrapped key is found by. The wrapped bytes belong to it: an id alone is only a claim.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OpenKey {
    pub(crate) generation: Generation,
    pub(crate) class: Class,
    pub(crate) id: DataKeyId,
    pub(crate) wrapped: WrappedKey,
}

/// Three maps, each for its own question, none shared between organizations.
pub(crate) struct DataKeys {
    limits: CacheLimits,
    generations: RwLock<HashMap<OrgId, u64>>,
    pins: Cache<Generation, OrgKey>,
    sealing: Cache<(Generation, Class), Arc<Cached>>,
    opening: Cache<OpenKey, Arc<Cached>>,
}

impl DataKeys {
    pub(crate) fn new(limits: CacheLimits) -> Self {
        Self {
            limits,
            generations: RwLock::default(),
            pins: Cache::builder()
                .max_capacity(limits.entries)
                .support_invalidation_closures()
                .build(),
            sealing: Cache::builder()
                .max_capacity(limits.entries)
                .time_to_live(limits.ttl)
                .support_invalidation_closures()
                .build(),
            opening: Cache::builder()
                .max_capacity(limits.entries)
                .time_to_live(limits.ttl)
                .support_invalidation_closures()
                .build(),
        }
    }

    pub(crate) fn generation(&self, org: &OrgId) -> Generation {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        let number = generations.get(org).copied().unwrap_or(0);
        Generation { org: org.clone(), number }
    }

    /// The pinned key of an organization; asked for once, however many wait for it.
    pub(crate) async fn pin(
        &self,
        generation: Generation,
        ask: impl Future<Output = Result<OrgKey, Error>>,
    ) -> Result<OrgKey, Error> {
        self.pins.try_get_with(generation, ask).await.map_err(shared)
    }

    /// The data key that seals now; asked for once, however many wait for it.
    pub(crate) async fn sealing(
        &self,
        generation: Generation,
        class: Class,
        ask: impl Future<Output = Result<Arc<Cached>, Error>>,
    ) -> Result<Arc<Cached>, Error> {
        if self.limits.ttl.is_zero() {
            return ask.await;
        }
        let slot = (generation, class);
        if let Some(key) = self.sealing.get(&slot).await
            && !self.serves(&key)
        {
            self.sealing.invalidate(&slot).await;
        }
        let key = self.sealing.try_get_with(slot, ask).await.map_err(shared)?;
        key.messages.fetch_add(1, Ordering::Relaxed);
        Ok(key)
    }

    /// The data key that opens; asked for once, however many wait for it.
    pub(crate) async fn opening(
        &self,
        slot: OpenKey,
        ask: impl Future<Output = Result<Arc<Cached>, Error>>,
    ) -> Result<Arc<Cached>, Error> {
        if self.limits.ttl.is_zero() {
            return ask.await;
        }
        if let Some(key) = self.opening.get(&slot).await
            && key.authorized.elapsed() >= self.limits.ttl
        {
            self.opening.invalidate(&slot).await;
        }
        self.opening.try_get_with(slot, ask).await.map_err(shared)
    }

    fn serves(&self, key: &Cached) -> bool {
        key.authorized.elapsed() < self.limits.ttl
            && key.messages.load(Ordering::Relaxed) < self.limits.messages
    }

    /// Forgets every key of an organization, and wipes those that nobody is using.
    pub(crate) async fn purge(&self, org: &OrgId) {
        {
            let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
            *generations.entry(org.clone()).or_default() += 1;
        }
        // Refused only by a cache that was built without closures; these were built with them.
        let of = |generation: &Generation, org: &OrgId| generation.org == *org;
        let gone = org.clone();
        let _ = self.pins.invalidate_entries_if(move |generation, _| of(generation, &gone));
        let gone = org.clone();
        let _ = self.sealing.invalidate_entries_if(move |slot, _| of(&slot.0, &gone));
        let gone = org.clone();
        let _ = self.opening.invalidate_entries_if(move |slot, _| of(&slot.generation, &gone));
        self.pins.run_pending_tasks().await;
        self.sealing.run_pending_tasks().await;
        self.opening.run_pending_tasks().await;
    }
}

fn shared(error: Arc<Error>) -> Error {
    Arc::unwrap_or_clone(error)
}
