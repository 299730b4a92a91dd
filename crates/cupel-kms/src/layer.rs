//! What the keys have in common with the other layers.

use async_trait::async_trait;
use cupel_tenant::{
    Attempt, Changes, Erasure, Finding, Health, IsolationLayer, LayerError, LayerName, OrgId,
    OrgPair, OrgSpec, Severity,
};

use crate::provider::{EncryptionContext, KeyAlias, KeyState, OrgKey};
use crate::{Class, DataKeyId, Error, TenantKeys, prove};

#[async_trait]
impl IsolationLayer for TenantKeys {
    fn name(&self) -> LayerName {
        LayerName::Keys
    }

    async fn health(&self) -> Result<Health, LayerError> {
        self.inner.provider.health().await.map_err(|error| error.during("asking for health"))
    }

    async fn provision(&self, spec: &OrgSpec) -> Result<Changes, LayerError> {
        self.make_key(spec.org_id()).await.map_err(|error| error.during("provisioning"))
    }

    async fn audit(&self, org: &OrgId) -> Result<Vec<Finding>, LayerError> {
        self.look(org).await.map_err(|error| error.during("auditing"))
    }

    async fn prove(&self, pair: &OrgPair) -> Result<Vec<Attempt>, LayerError> {
        prove::run(self, pair).await.map_err(|error| error.during("setting the stage"))
    }

    async fn suspend(&self, org: &OrgId) -> Result<(), LayerError> {
        self.switch(org, false).await.map_err(|error| error.during("suspending"))
    }

    async fn resume(&self, org: &OrgId) -> Result<(), LayerError> {
        self.switch(org, true).await.map_err(|error| error.during("resuming"))
    }

    async fn erase(&self, org: &OrgId) -> Result<Erasure, LayerError> {
        self.shred(org).await.map_err(|error| error.during("erasing"))
    }
}

impl TenantKeys {
    async fn make_key(&self, org: &OrgId) -> Result<Changes, Error> {
        let alias = KeyAlias::of(org);
        let mut changes = Changes::none();
        let key = match self.owned_key(&alias).await {
            Err(Error::NoKey) => {
                let made = self.admin()?.create(org).await?;
                changes.push(format!("created a key under {alias}"));
                made
            }
            answer => answer?,
        };
        if key.owner.as_ref() != Some(org) {
            return Err(Error::ForeignKey);
        }
        if key.state == KeyState::PendingDeletion {
            return Err(Error::AwaitsDeletion);
        }
        Ok(changes)
    }

    async fn look(&self, org: &OrgId) -> Result<Vec<Finding>, Error> {
        let alias = KeyAlias::of(org);
        let found = |rule, severity, problem, allows, fix: &str| {
            vec![Finding::new(
                LayerName::Keys,
                rule,
                severity,
                alias.as_str(),
                problem,
                allows,
                fix,
            )]
        };
        Ok(match self.owned_key(&alias).await {
            Ok(OrgKey { state: KeyState::Enabled, .. }) => Vec::new(),
            Ok(OrgKey { state: KeyState::Disabled, .. }) => found(
                "key-disabled",
                Severity::Low,
                "the key is disabled",
                "nothing: secrets are refused, as they are while an organization is suspended",
                "resume the organization, if it should not be suspended",
            ),
            Ok(_) => found(
                "key-going",
                Severity::Medium,
                "the key awaits deletion, or is not available",
                "the loss of everything sealed with it",
                "cancel the deletion at the key service, or offboard the organization",
            ),
            Err(Error::ForeignKey) => found(
                "key-foreign",
                Severity::Critical,
                "the alias points to a key that was not made for this organization",
                "whoever may use that key to read what is sealed from now on",
                "point the alias back to the key whose tag cupel-org names the organization",
            ),
            Err(Error::NoKey) => found(
                "key-missing",
                Severity::Medium,
                "the organization has no key",
                "nothing: secrets are refused",
                "onboard the organization again",
            ),
            Err(error) => return Err(error),
        })
    }

    async fn switch(&self, org: &OrgId, enabled: bool) -> Result<(), Error> {
        let key = self.owned_key(&KeyAlias::of(org)).await?;
        let switched = if enabled {
            self.admin()?.enable(&key.id).await
        } else {
            self.admin()?.disable(&key.id).await
        };
        self.purge(org).await;
        switched
    }

    async fn shred(&self, org: &OrgId) -> Result<Erasure, Error> {
        let alias = KeyAlias::of(org);
        let admin = self.admin()?;
        let mut erasure = Erasure::none();
        let stray = admin.delete_alias(&KeyAlias::stray(org)).await?;
        let mut aliases = u64::from(stray);
        match self.owned_key(&alias).await {
            // The key first: an alias that still leads to it lets a run after a crash find it.
            Ok(key) => {
                if key.state != KeyState::PendingDeletion {
                    admin.schedule_deletion(&key.id, self.inner.deletion_window).await?;
                    erasure.erased("keys scheduled for deletion", 1);
                }
                aliases += u64::from(admin.delete_alias(&alias).await?);
                self.purge(org).await;
                erasure.left("usable keys", u64::from(self.still_serves(org, &key).await?));
            }
            Err(Error::NoKey) => self.purge(org).await,
            Err(error) => return Err(error),
        }
        erasure.erased("aliases", aliases);
        match self.inner.provider.describe(&alias).await {
            Err(Error::NoKey) => {}
            Ok(_) => erasure.left("aliases", 1),
            Err(error) => return Err(error),
        }
        Ok(erasure)
    }

    /// Tries whether a key still gives out data keys.
    async fn still_serves(&self, org: &OrgId, key: &OrgKey) -> Result<bool, Error> {
        let id = DataKeyId::random()?;
        let context =
            EncryptionContext::of(self.environment(), org, Class::ConnectorCredentials, id);
        match self.inner.provider.generate(&key.id, &context).await {
            Ok(_) => Ok(true),
            Err(error) if error.takes_the_key_away() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
