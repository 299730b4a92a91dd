//! AWS KMS.

mod answers;
mod builder;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, Tag};
use cupel_tenant::{Health, OrgId};
use zeroize::Zeroize;

use crate::provider::{
    EncryptionContext, KeyAdmin, KeyAlias, KeyId, KeyProvider, KeyState, OrgKey,
};
use crate::{DataKey, Error, WrappedKey};

use self::answers::{code, failure, key_state, missing};
pub use self::builder::AwsKmsBuilder;

/// The tag that says which organization a key was made for.
const OWNER_TAG: &str = "cupel-org";

/// AWS KMS, or an emulator of it.
///
/// Cloning shares the client. One attempt may take 5 s and one operation with its retries 15 s: the
/// SDK itself sets a limit to connecting only.
///
/// # Examples
///
/// ```no_run
/// # async fn f() -> Result<(), cupel_kms::Error> {
/// use cupel_kms::{AwsKms, TenantKeys};
///
/// let kms = AwsKms::builder().region("eu-central-1").connect().await?;
/// let keys = TenantKeys::new(kms)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct AwsKms {
    client: Client,
    region: String,
    endpoint: Option<String>,
    /// Whether the endpoint is plain text beyond this machine.
    exposed: bool,
}

impl AwsKms {
    /// Starts a connection to AWS KMS.
    pub fn builder() -> AwsKmsBuilder {
        AwsKmsBuilder::default()
    }

    /// Describes a key by alias, key id or ARN.
    async fn describe_by(&self, name: &str) -> Result<(KeyId, KeyState), Error> {
        let answer = self.client.describe_key().key_id(name).send().await.map_err(failure)?;
        let metadata = answer.key_metadata().ok_or_else(missing)?;
        let arn = metadata.arn().ok_or_else(missing)?;
        Ok((KeyId::new(arn), key_state(metadata.key_state())))
    }

    async fn owner(&self, key: &KeyId) -> Result<Option<OrgId>, Error> {
        let answer =
            self.client.list_resource_tags().key_id(key.as_str()).send().await.map_err(failure)?;
        let tag = answer.tags().iter().find(|tag| tag.tag_key() == OWNER_TAG);
        Ok(tag.and_then(|tag| tag.tag_value().parse().ok()))
    }
}

/// Takes key bytes out of an answer and leaves none behind in what we own.
fn data_key(plaintext: Option<Blob>) -> Result<DataKey, Error> {
    let mut bytes = plaintext.ok_or_else(missing)?.into_inner();
    let key: Result<[u8; 32], _> = bytes.as_slice().try_into();
    bytes.zeroize();
    key.map(DataKey::new).map_err(|_| missing())
}

/// Refuses the answer of another key than the one that was asked.
fn same_key(asked: &KeyId, answered: Option<&str>) -> Result<(), Error> {
    if answered == Some(asked.as_str()) { Ok(()) } else { Err(Error::ForeignKey) }
}

#[async_trait]
impl KeyProvider for AwsKms {
    fn check_production(&self) -> Result<(), Error> {
        if self.exposed {
            return Err(Error::PlainEndpoint);
        }
        // The SDK reads this variable by itself and then logs bodies, plaintext keys included.
        match std::env::var_os("LOG_SENSITIVE_BODIES") {
            Some(value) if value.eq_ignore_ascii_case("true") => Err(Error::SensitiveBodies),
            _ => Ok(()),
        }
    }

    async fn health(&self) -> Result<Health, Error> {
        // An alias that nothing has: "not found" or "denied" shows that the service is there and
        // accepted the credentials, and needs no right.
        match self.describe_by("alias/cupel-health").await {
            Ok(_) | Err(Error::NoKey | Error::Denied { .. }) => {}
            Err(error) => return Err(error),
        }
        let endpoint = self.endpoint.clone().unwrap_or_else(|| format!("kms.{}", self.region));
        Ok(Health::new("AWS KMS", "", endpoint, format!("region {}", self.region)))
    }

    async fn describe(&self, alias: &KeyAlias) -> Result<OrgKey, Error> {
        let (id, state) = self.describe_by(alias.as_str()).await?;
        let owner = self.owner(&id).await?;
        Ok(OrgKey::new(id, owner, state))
    }

    async fn generate(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        let mut request =
            self.client.generate_data_key().key_id(key.as_str()).key_spec(DataKeySpec::Aes256);
        for (name, value) in context.iter() {
            request = request.encryption_context(name, value);
        }
        let answer = request.send().await.map_err(failure)?;
        same_key(key, answer.key_id())?;
        let wrapped = answer.ciphertext_blob.ok_or_else(missing)?;
        Ok((data_key(answer.plaintext)?, WrappedKey::new(wrapped.into_inner())))
    }

    async fn unwrap_key(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, Error> {
        let mut request = self
            .client
            .decrypt()
            .key_id(key.as_str())
            .ciphertext_blob(Blob::new(wrapped.as_bytes()));
        for (name, value) in context.iter() {
            request = request.encryption_context(name, value);
        }
        let answer = request.send().await.map_err(failure)?;
        same_key(key, answer.key_id())?;
        data_key(answer.plaintext)
    }
}

#[async_trait]
impl KeyAdmin for AwsKms {
    async fn create(&self, org: &OrgId) -> Result<OrgKey, Error> {
        let alias = KeyAlias::of(org);
        let tag = Tag::builder().tag_key(OWNER_TAG).tag_value(org.as_str()).build();
        let answer = self
            .client
            .create_key()
            .description(format!("cupel: keys of organization {org}"))
            .tags(tag.map_err(failure_to_build)?)
            .send()
            .await
            .map_err(failure)?;
        let arn = answer.key_metadata().and_then(|it| it.arn()).ok_or_else(missing)?;
        let made = KeyId::new(arn);
        let pointed = self
            .client
            .create_alias()
            .alias_name(alias.as_str())
            .target_key_id(made.as_str())
            .send()
            .await;
        match pointed {
            Ok(_) => Ok(OrgKey::new(made, Some(org.clone()), KeyState::Enabled)),
            Err(error) if code(&error) == Some("AlreadyExistsException") => {
                // Somebody provisioned the same organization at the same time. Theirs is the key.
                self.schedule_deletion(&made, 7).await?;
                self.describe(&alias).await
            }
            Err(error) => Err(failure(error)),
        }
    }

    async fn point_alias(&self, alias: &KeyAlias, key: &KeyId) -> Result<(), Error> {
        let (name, target) = (alias.as_str(), key.as_str());
        let made = self.client.create_alias().alias_name(name).target_key_id(target).send().await;
        match made {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("AlreadyExistsException") => {
                let moved = self.client.update_alias().alias_name(name).target_key_id(target);
                moved.send().await.map(drop).map_err(failure)
            }
            Err(error) => Err(failure(error)),
        }
    }

    async fn delete_alias(&self, alias: &KeyAlias) -> Result<bool, Error> {
        match self.client.delete_alias().alias_name(alias.as_str()).send().await {
            Ok(_) => Ok(true),
            Err(error) => match failure(error) {
                Error::NoKey => Ok(false),
                other => Err(other),
            },
        }
    }

    async fn state(&self, key: &KeyId) -> Result<KeyState, Error> {
        Ok(self.describe_by(key.as_str()).await?.1)
    }

    async fn enable(&self, key: &KeyId) -> Result<(), Error> {
        if self.state(key).await? == KeyState::PendingDeletion {
            return Err(Error::AwaitsDeletion);
        }
        self.client.enable_key().key_id(key.as_str()).send().await.map(drop).map_err(failure)
    }

    async fn disable(&self, key: &KeyId) -> Result<(), Error> {
        if self.state(key).await? == KeyState::PendingDeletion {
            return Err(Error::AwaitsDeletion);
        }
        self.client.disable_key().key_id(key.as_str()).send().await.map(drop).map_err(failure)
    }

    async fn schedule_deletion(&self, key: &KeyId, days: u8) -> Result<(), Error> {
        if self.state(key).await? == KeyState::PendingDeletion {
            return Ok(());
        }
        self.client
            .schedule_key_deletion()
            .key_id(key.as_str())
            .pending_window_in_days(i32::from(days))
            .send()
            .await
            .map(drop)
            .map_err(failure)
    }
}

fn failure_to_build(error: aws_sdk_kms::error::BuildError) -> Error {
    Error::Service { source: std::sync::Arc::new(error) }
}
