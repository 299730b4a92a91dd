use async_trait::async_trait;
use cupel_tenant::{
    Attempt, Changes, Erasure, Finding, Health, IsolationLayer, LayerError, LayerName, OrgId,
    OrgPair, OrgSpec, TenantScope,
};

use crate::Error;
use crate::TenantCache;
use crate::audit;
use crate::erase;
use crate::prove;
use crate::rights::Facts;
use crate::room;
use crate::script;
use crate::server::Command;

#[async_trait]
impl IsolationLayer for TenantCache {
    fn name(&self) -> LayerName {
        LayerName::Cache
    }

    async fn health(&self) -> Result<Health, LayerError> {
        let facts = Facts::read(&self.server).await.map_err(|err| err.in_layer("health"))?;
        let endpoint = self.server.endpoint();
        Ok(Health::new(facts.product(), facts.version(), endpoint, "isolation by key prefix"))
    }

    async fn provision(&self, spec: &OrgSpec) -> Result<Changes, LayerError> {
        let org = TenantScope::org(spec.org_id().clone());
        let generation = room::generation(&org);
        let begun = room::begin(&self.server, &room::suspended(&org), &generation)
            .await
            .map_err(|err| err.in_layer("provisioning"))?;
        Ok(begun.then(|| format!("created {generation}")).into_iter().collect())
    }

    async fn audit(&self, org: &OrgId) -> Result<Vec<Finding>, LayerError> {
        audit::audit(&self.server, org).await.map_err(|err| err.in_layer("auditing"))
    }

    async fn prove(&self, pair: &OrgPair) -> Result<Vec<Attempt>, LayerError> {
        prove::prove(self, pair).await.map_err(|err| err.in_layer("proving"))
    }

    async fn suspend(&self, org: &OrgId) -> Result<(), LayerError> {
        self.mark(org).await.map_err(|err| err.in_layer("suspending"))
    }

    async fn resume(&self, org: &OrgId) -> Result<(), LayerError> {
        self.unmark(org).await.map_err(|err| err.in_layer("resuming"))
    }

    async fn erase(&self, org: &OrgId) -> Result<Erasure, LayerError> {
        erase::erase(&self.server, org).await.map_err(|err| err.in_layer("erasing"))
    }
}

impl TenantCache {
    pub(crate) async fn mark(&self, org: &OrgId) -> Result<(), Error> {
        let org = TenantScope::org(org.clone());
        let (suspended, generation) = (room::suspended(&org), room::generation(&org));
        let command = Command::new("EVAL").arg(script::SUSPEND).arg(2);
        let command = command.args([suspended.as_bytes(), generation.as_bytes()]);
        self.server.ask(&command.arg(room::nonce())).await
    }

    pub(crate) async fn unmark(&self, org: &OrgId) -> Result<(), Error> {
        let suspended = room::suspended(&TenantScope::org(org.clone()));
        self.server.ask(&Command::new("UNLINK").arg(suspended.as_bytes())).await
    }
}
