//! Key services with one guard taken out, over a live one.

use async_trait::async_trait;
use cupel_kms::{
    DataKey, EncryptionContext, Error, KeyAdmin, KeyAlias, KeyId, KeyProvider, KeyState, OrgKey,
    WrappedKey,
};
use cupel_tenant::{Health, OrgId};

use crate::services::Service;

/// Which guard is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The encryption context is left out of every request.
    ForgetsTheContext,
    /// Disabling a key is said to have worked, and was not done.
    KeepsKeysEnabled,
    /// Whatever an alias points to is said to be the organization's own.
    TrustsAliases,
}

#[derive(Clone)]
pub(crate) struct Flawed<S>(pub(crate) S, pub(crate) Flaw);

impl<S: Service> Flawed<S> {
    fn context(&self, context: &EncryptionContext) -> EncryptionContext {
        if self.1 == Flaw::ForgetsTheContext { EncryptionContext::none() } else { context.clone() }
    }
}

#[async_trait]
impl<S: Service> KeyProvider for Flawed<S> {
    fn check_production(&self) -> Result<(), Error> {
        self.0.check_production()
    }

    async fn health(&self) -> Result<Health, Error> {
        self.0.health().await
    }

    async fn describe(&self, alias: &KeyAlias) -> Result<OrgKey, Error> {
        let mut key = self.0.describe(alias).await?;
        if self.1 == Flaw::TrustsAliases {
            key.owner = Some(alias.org_id().clone());
        }
        Ok(key)
    }

    async fn generate(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
    ) -> Result<(DataKey, WrappedKey), Error> {
        self.0.generate(key, &self.context(context)).await
    }

    async fn unwrap_key(
        &self,
        key: &KeyId,
        context: &EncryptionContext,
        wrapped: &WrappedKey,
    ) -> Result<DataKey, Error> {
        self.0.unwrap_key(key, &self.context(context), wrapped).await
    }
}

#[async_trait]
impl<S: Service> KeyAdmin for Flawed<S> {
    async fn create(&self, org: &OrgId) -> Result<OrgKey, Error> {
        self.0.create(org).await
    }

    async fn point_alias(&self, alias: &KeyAlias, key: &KeyId) -> Result<(), Error> {
        self.0.point_alias(alias, key).await
    }

    async fn delete_alias(&self, alias: &KeyAlias) -> Result<bool, Error> {
        self.0.delete_alias(alias).await
    }

    async fn state(&self, key: &KeyId) -> Result<KeyState, Error> {
        self.0.state(key).await
    }

    async fn enable(&self, key: &KeyId) -> Result<(), Error> {
        self.0.enable(key).await
    }

    async fn disable(&self, key: &KeyId) -> Result<(), Error> {
        if self.1 == Flaw::KeepsKeysEnabled { Ok(()) } else { self.0.disable(key).await }
    }

    async fn schedule_deletion(&self, key: &KeyId, days: u8) -> Result<(), Error> {
        self.0.schedule_deletion(key, days).await
    }
}
