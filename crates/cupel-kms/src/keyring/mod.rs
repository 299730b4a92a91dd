//! Keys in a file of this machine.

mod file;
mod keys;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cupel_tenant::{Health, OrgId};

use self::file::KeyringFile;
pub use self::file::Unlock;
use self::keys::Keys;
use crate::provider::{
    EncryptionContext, KeyAdmin, KeyAlias, KeyId, KeyProvider, KeyState, OrgKey,
};
use crate::{DataKey, Error, WrappedKey};

/// A key service in one encrypted file, with the semantics of AWS KMS: keys have states, wrapped keys
/// are bound to their encryption context, and a key opens what it wrapped and nothing else.
///
/// For development and tests: whoever has the file and what unlocks it has every key, and nobody
/// audits it. [`TenantKeys`](crate::TenantKeys) refuses it in production.
///
/// The file is encrypted at rest, of mode 0600, replaced in one step, and read anew for each call, so
/// that processes that share it see each other's changes. Writers take turns by a lock file beside it.
/// A call whose future is dropped runs to its end in the background.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (path, key) = (folder.path().join("keyring"), folder.path().join("keyring.key"));
/// use cupel_kms::{LocalKeyring, TenantKeys, Unlock};
///
/// let keyring = LocalKeyring::open(path, Unlock::KeyFile(key)).await?;
/// assert!(TenantKeys::new(keyring.clone()).is_err());
/// let keys = TenantKeys::builder(keyring).production(false).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct LocalKeyring {
    file: Arc<KeyringFile>,
}

impl LocalKeyring {
    /// Opens the keyring at `path`, or makes one.
    ///
    /// # Errors
    ///
    /// [`Error::KeyringClosed`] if it does not open with what was given, and the other errors about
    /// keyrings and key files.
    pub async fn open(path: impl AsRef<Path>, unlock: Unlock) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let file = in_background(move || KeyringFile::open(&path, &unlock)).await?;
        Ok(Self { file: Arc::new(file) })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Keys) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let file = Arc::clone(&self.file);
        in_background(move || read(&file.read()?)).await
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Keys) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let file = Arc::clone(&self.file);
        in_background(move || {
            file.change(|keys| {
                keys.delete_due(jiff::Timestamp::now());
                change(keys)
            })
        })
        .await
    }
}

/// Runs what blocks where it may.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Service { source: Arc::new(error) }),
    }
}

impl fmt::Debug for LocalKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKeyring").field("path", &self.file.path()).finish_non_exhaustive()
    }
}

#[async_trait]
impl KeyProvider for LocalKeyring {
    fn check_production(&self) -> Result<(), Error> {
        Err(Error::LocalKeyring)
    }

    async fn health(&self) -> Result<Health, Error> {
        let count = self.read(|keys| Ok(keys.len())).await?;
        let path = self.file.path().display().to_string();
        Ok(Health::new("local keyring", "1", path, format!("{count} keys")))
    }

    async fn describe(&self, alias: &KeyAlias) -> Result<OrgKey, Error> {
        let alias = alias.clone();
        self.read(move |keys| keys.alias(alias.as_str())).await
    }

    async fn generate(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        let (key, context) = (key.clone(), context.clone());
        self.read(move |keys| keys.generate(&key, &context)).await
    }

    async fn unwrap_key(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, Error> {
        let (key, context, wrapped) = (key.clone(), context.clone(), wrapped.clone());
        self.read(move |keys| keys.unwrap_key(&key, &context, &wrapped)).await
    }
}

#[async_trait]
impl KeyAdmin for LocalKeyring {
    async fn create(&self, org: &OrgId) -> Result<OrgKey, Error> {
        let org = org.clone();
        self.change(move |keys| keys.create(&org, KeyAlias::of(&org).as_str())).await
    }

    async fn point_alias(&self, alias: &KeyAlias, key: &KeyId) -> Result<(), Error> {
        let (alias, key) = (alias.clone(), key.clone());
        self.change(move |keys| keys.point(alias.as_str(), &key)).await
    }

    async fn delete_alias(&self, alias: &KeyAlias) -> Result<bool, Error> {
        let alias = alias.clone();
        self.change(move |keys| Ok(keys.delete_alias(alias.as_str()))).await
    }

    async fn state(&self, key: &KeyId) -> Result<KeyState, Error> {
        let key = key.clone();
        self.read(move |keys| keys.state(&key)).await
    }

    async fn enable(&self, key: &KeyId) -> Result<(), Error> {
        let key = key.clone();
        self.change(move |keys| keys.set_enabled(&key, true)).await
    }

    async fn disable(&self, key: &KeyId) -> Result<(), Error> {
        let key = key.clone();
        self.change(move |keys| keys.set_enabled(&key, false)).await
    }

    async fn schedule_deletion(&self, key: &KeyId, days: u8) -> Result<(), Error> {
        let key = key.clone();
        let window = jiff::SignedDuration::from_hours(24 * i64::from(days));
        self.change(move |keys| {
            let when = jiff::Timestamp::now()
                .checked_add(window)
                .map_err(|error| Error::Service { source: Arc::new(error) })?;
            keys.schedule_deletion(&key, when)
        })
        .await
    }
}
