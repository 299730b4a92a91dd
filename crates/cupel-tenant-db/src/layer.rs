use async_trait::async_trait;
use cupel_tenant::{
    Attempt, Changes, Erasure, Finding, Health, IsolationLayer, LayerError, LayerName, OrgId,
    OrgPair, OrgSpec, OrgState, TenantScope,
};

use crate::{Error, TenantDb, audit, prove};

/// What one organization has in the database is its rows and its line in the registry.
#[async_trait]
impl IsolationLayer for TenantDb {
    fn name(&self) -> LayerName {
        LayerName::Database
    }

    async fn health(&self) -> Result<Health, LayerError> {
        self.measure().await.map_err(Error::during("asking after the database"))
    }

    /// Registers the organization as active, where there is an admin path and it is not registered.
    async fn provision(&self, spec: &OrgSpec) -> Result<Changes, LayerError> {
        self.register(spec).await.map_err(Error::during("provisioning"))
    }

    /// Reads the whole database, whatever the organization: isolation is a property of the tables.
    async fn audit(&self, _org: &OrgId) -> Result<Vec<Finding>, LayerError> {
        audit::audit(self).await.map_err(Error::during("the audit"))
    }

    async fn prove(&self, pair: &OrgPair) -> Result<Vec<Attempt>, LayerError> {
        prove::prove(self, pair).await.map_err(Error::during("the proof"))
    }

    async fn suspend(&self, org: &OrgId) -> Result<(), LayerError> {
        self.refuse_from_now_on(org).await.map_err(Error::during("suspending"))
    }

    async fn resume(&self, org: &OrgId) -> Result<(), LayerError> {
        self.let_in_again(org).await.map_err(Error::during("resuming"))
    }

    async fn erase(&self, org: &OrgId) -> Result<Erasure, LayerError> {
        self.erase_rows(org).await.map_err(Error::during("erasing"))
    }
}

impl TenantDb {
    async fn measure(&self) -> Result<Health, Error> {
        let mut look = self.look().await?;
        let version: String = sqlx::query_scalar("SELECT current_setting('server_version')")
            .fetch_one(look.connection())
            .await
            .map_err(Error::statement("asking for the version"))?;
        let declared: Vec<String> = sqlx::query_scalar("SELECT kind FROM cupel.tenant_tables")
            .fetch_all(look.connection())
            .await
            .map_err(Error::statement("counting the tables"))?;
        look.done().await?;
        let global = declared.iter().filter(|kind| *kind == "global").count();
        let detail = format!(
            "{} context, {} tables isolated, {global} the same for everybody{}",
            self.context_mode().as_str(),
            declared.len() - global,
            if self.admin_pool().is_ok() { "" } else { ", no admin path" }
        );
        // A distribution's build adds its own words: "15.18 (Debian 15.18-0+deb12u1)".
        let version = version.split(' ').next().unwrap_or_default();
        Ok(Health::new("PostgreSQL", version, self.endpoint(), detail))
    }

    async fn register(&self, spec: &OrgSpec) -> Result<Changes, Error> {
        self.column_type().check(&TenantScope::org(spec.org_id().clone()))?;
        let Some(registry) = self.registry() else { return Ok(Changes::none()) };
        let mut changes = Changes::none();
        match registry.present(spec.org_id()).await? {
            None => {
                registry.insert(spec.org_id(), spec.tier(), OrgState::Active).await?;
                changes.push(format!("registered {}", spec.org_id()));
            }
            Some(state @ (OrgState::Offboarding | OrgState::Erased)) => {
                return Err(Error::OrgRefused { state });
            }
            Some(_) => {}
        }
        Ok(changes)
    }

    async fn refuse_from_now_on(&self, org: &OrgId) -> Result<(), Error> {
        let registry = self.registry().ok_or(Error::NoAdmin)?;
        match registry.present(org).await? {
            // Refused already, and on a way that does not lead back.
            Some(OrgState::Offboarding | OrgState::Erased) => Ok(()),
            None => registry.insert(org, &cupel_tenant::Tier::STANDARD, OrgState::Suspended).await,
            Some(_) => registry.change(org, OrgState::Suspended).await,
        }
    }

    async fn let_in_again(&self, org: &OrgId) -> Result<(), Error> {
        let registry = self.registry().ok_or(Error::NoAdmin)?;
        match registry.present(org).await? {
            None | Some(OrgState::Onboarding) => Ok(()),
            Some(_) => registry.change(org, OrgState::Active).await,
        }
    }
}
