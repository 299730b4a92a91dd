//! Envelope encryption with one key per organization, on AWS KMS or a local keyring.
//!
//! What is sealed for one record of one organization opens there and nowhere else. Three things hold
//! it: the organization's own key in the key service; the encryption context, by which the service
//! binds every data key to the organization; and the record's place, from which each value's own key
//! is derived and with which it is authenticated.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let (path, key) = (folder.path().join("keyring"), folder.path().join("keyring.key"));
//! use cupel_kms::{Credential, LocalKeyring, TenantKeys, Unlock};
//! use cupel_tenant::{IsolationLayer, OrgSpec, TenantScope, Tier};
//!
//! // In production: AwsKms::builder().region("eu-central-1").connect().await?
//! let keyring = LocalKeyring::open(path, Unlock::KeyFile(key)).await?;
//! let keys = TenantKeys::builder(keyring).production(false).build()?;
//! keys.provision(&OrgSpec::new("acme-corp".parse()?, Tier::STANDARD)).await?;
//!
//! let acme = keys.scoped(&TenantScope::org("acme-corp".parse()?));
//! let place = Credential::of("connectors", "crm-7", "password");
//! let sealed = acme.seal(place.clone(), b"hunter2").await?;
//! assert_eq!(acme.open(place, &sealed).await?.expose(), b"hunter2");
//!
//! // Moved to another record, it stays closed.
//! assert!(acme.open(Credential::of("connectors", "crm-8", "password"), &sealed).await.is_err());
//! # Ok(()) }
//! ```
//!
//! # What this crate does not do
//!
//! It stores nothing: a [`Sealed`] value carries its wrapped data key and goes where the record goes.
//! It does not stop an old value of the *same* record from being put back; bind a version where that
//! matters. Streams, tables of wrapped keys, rotation and customers' own keys are not built yet, and
//! what asks for them is refused. Key bytes are wiped in this crate's own memory; copies inside the
//! HTTP client of the AWS SDK are out of its reach. Two processes that provision an organization at
//! the same moment agree on one key; a process that dies between making a key and pointing its alias
//! leaves an unused key behind at AWS.
//!
//! # Crate features
//!
//! None.

mod aws;
mod cache;
mod cipher;
mod context;
mod data_key;
mod envelope;
mod error;
mod keyring;
mod layer;
mod prove;
mod provider;
mod scoped;
mod tenant_keys;

pub use aws::{AwsKms, AwsKmsBuilder};
pub use cipher::MAX_PLAINTEXT;
pub use context::{Class, Config, Credential, RecordContext, Staging};
pub use data_key::{DataKey, DataKeyId, Plaintext, WrappedKey};
pub use envelope::{InvalidSealed, Sealed};
pub use error::{Cause, Error};
pub use keyring::{LocalKeyring, Unlock};
pub use provider::{
    EncryptionContext, InvalidAlias, KeyAdmin, KeyAlias, KeyId, KeyProvider, KeyState, OrgKey,
};
pub use scoped::ScopedKeys;
pub use tenant_keys::{TenantKeys, TenantKeysBuilder};
