use std::sync::Arc;
use std::time::Instant;

use cupel_tenant::TenantScope;

use crate::cache::{Cached, OpenKey};
use crate::cipher::{MAX_PLAINTEXT, Sealer};
use crate::envelope::Header;
use crate::provider::EncryptionContext;
use crate::{Class, DataKeyId, Error, Plaintext, RecordContext, Sealed, TenantKeys};

/// The keys of one tenant: seals and opens, for its scope only.
///
/// A scope that is narrowed to a workspace seals for that workspace: neither the organization's own
/// scope nor another workspace opens it. Dropping a future half-way leaves nothing behind but, at
/// most, a data key in memory.
#[derive(Clone, Debug)]
pub struct ScopedKeys {
    keys: TenantKeys,
    scope: TenantScope,
}

impl ScopedKeys {
    pub(crate) fn new(keys: TenantKeys, scope: TenantScope) -> Self {
        Self { keys, scope }
    }

    /// Returns the scope.
    pub fn scope(&self) -> &TenantScope {
        &self.scope
    }

    /// Seals `plaintext` for one record of this scope.
    ///
    /// # Errors
    ///
    /// [`Error::Context`] and [`Error::TooLarge`] before anything is asked of the key service; then
    /// [`Error::NoKey`], [`Error::Disabled`], [`Error::Denied`], [`Error::Throttled`],
    /// [`Error::Unreachable`] and the like.
    pub async fn seal(&self, context: RecordContext, plaintext: &[u8]) -> Result<Sealed, Error> {
        let place = self.place(&context)?;
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(Error::TooLarge);
        }
        let key = self.heed(self.sealing_key(context.class).await).await?;
        let (class, id) = (context.class, key.id);
        Sealer { class, id, key: &key.key, wrapped: &key.wrapped }.seal(&place, plaintext)
    }

    /// Opens what was sealed for one record of this scope.
    ///
    /// The context is the caller's, said again: nothing of it is read from the sealed bytes.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotOpen`] if the bytes were altered, or sealed for another organization,
    /// workspace or record; otherwise as [`seal`](Self::seal).
    pub async fn open(&self, context: RecordContext, sealed: &Sealed) -> Result<Plaintext, Error> {
        let place = self.place(&context)?;
        let parsed = Header::read(sealed.as_bytes())?;
        if parsed.header.class != context.class {
            return Err(Error::DoesNotOpen);
        }
        let key = self.heed(self.opening_key(&parsed.header).await).await?;
        (self.keys.inner.guards.open)(&parsed, &key.key, &place).map(Plaintext::new)
    }

    fn place(&self, context: &RecordContext) -> Result<Vec<u8>, Error> {
        (self.keys.inner.guards.write_place)(self.keys.environment(), &self.scope, context)
    }

    fn bound_to(&self, class: Class, id: DataKeyId) -> EncryptionContext {
        let bind = self.keys.inner.guards.bind;
        bind(self.keys.environment(), self.scope.org_id(), class, id)
    }

    async fn heed<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        self.keys.heed(self.scope.org_id(), answer).await
    }

    async fn sealing_key(&self, class: Class) -> Result<Arc<Cached>, Error> {
        let cache = &self.keys.inner.cache;
        let ask = async {
            let id = DataKeyId::random()?;
            let authorized = Instant::now();
            let key = self.keys.key_of(self.scope.org_id()).await?;
            let context = self.bound_to(class, id);
            let made = self.keys.inner.provider.generate(&key.id, &context).await?;
            Ok(Cached::new(id, made, authorized))
        };
        cache.sealing(cache.generation(self.scope.org_id()), class, ask).await
    }

    async fn opening_key(&self, header: &Header) -> Result<Arc<Cached>, Error> {
        let cache = &self.keys.inner.cache;
        let (class, id, wrapped) = (header.class, header.data_key, &header.wrapped);
        let ask = async {
            let authorized = Instant::now();
            let key = self.keys.key_of(self.scope.org_id()).await?;
            let context = self.bound_to(class, id);
            let provider = &self.keys.inner.provider;
            let opened = provider.unwrap_key(&key.id, &context, wrapped).await?;
            Ok(Cached::new(id, (opened, wrapped.clone()), authorized))
        };
        let generation = cache.generation(self.scope.org_id());
        cache.opening(OpenKey { generation, class, id, wrapped: wrapped.clone() }, ask).await
    }
}
