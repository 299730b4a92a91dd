use async_trait::async_trait;
use cupel_tenant::{
    Attempt, Changes, Erasure, Finding, Health, IsolationLayer, LayerError, LayerName, OrgId,
    OrgPair, OrgSpec,
};
use temporal_client::tonic::Request;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;

use crate::{Error, TenantQueues, audit, erase, prove};

/// Temporal makes a queue with its first task, so that provisioning makes nothing; it sets the
/// queue's rate limit, if the builder was given one.
#[async_trait]
impl IsolationLayer for TenantQueues {
    fn name(&self) -> LayerName {
        LayerName::Queues
    }

    async fn health(&self) -> Result<Health, LayerError> {
        let mut service = self.server().workflow_service();
        let answer = service.get_system_info(Request::new(GetSystemInfoRequest {})).await;
        let version = answer
            .map_err(|status| Error::from(status).during("asking for the version"))?
            .into_inner()
            .server_version;
        let detail = format!("namespace {}", self.namespace());
        Ok(Health::new("Temporal", version, self.endpoint(), detail))
    }

    async fn provision(&self, spec: &OrgSpec) -> Result<Changes, LayerError> {
        let lane = self.lane(spec.org_id());
        let rate = self.limits().activities_per_second;
        let changed = lane.standing.limit_to(rate).await;
        let mut changes = Changes::none();
        if changed.map_err(|error| error.during("provisioning"))? {
            changes.push(match rate {
                Some(rate) => format!("limited {} to {rate} activities per second", lane.queue),
                None => format!("took the rate limit off {}", lane.queue),
            });
        }
        Ok(changes)
    }

    async fn audit(&self, org: &OrgId) -> Result<Vec<Finding>, LayerError> {
        audit::queue(self, org).await.map_err(|error| error.during("auditing"))
    }

    async fn prove(&self, pair: &OrgPair) -> Result<Vec<Attempt>, LayerError> {
        prove::attack(self, pair).await.map_err(|error| error.during("proving"))
    }

    async fn suspend(&self, org: &OrgId) -> Result<(), LayerError> {
        suspend(self, org).await.map_err(|error| error.during("suspending"))
    }

    async fn resume(&self, org: &OrgId) -> Result<(), LayerError> {
        self.lane(org).standing.resume().await.map_err(|error| error.during("resuming"))
    }

    async fn erase(&self, org: &OrgId) -> Result<Erasure, LayerError> {
        let erased = async {
            suspend(self, org).await?;
            let erasure = erase::runs(self, org).await?;
            self.lane(org).standing.forget().await?;
            self.forget(org);
            Ok(erasure)
        };
        erased.await.map_err(|error: Error| error.during("erasing"))
    }
}

/// Refuses new runs everywhere, pauses activities everywhere, and stops this process's worker.
async fn suspend(queues: &TenantQueues, org: &OrgId) -> Result<(), Error> {
    let lane = queues.lane(org);
    lane.standing.suspend().await?;
    match lane.engine() {
        Some(engine) => match engine.stop().await {
            // It has ended, which is all that matters here; its handle tells why.
            Ok(()) | Err(Error::Worker { .. }) => Ok(()),
            Err(error) => Err(error),
        },
        None => Ok(()),
    }
}
