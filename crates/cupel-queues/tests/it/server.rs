use std::error::Error;

use cupel_queues::TenantQueues;
use cupel_tenant::{OrgId, OrgPair};
use cupel_testkit::Temporal;
use uuid::Uuid;

/// The layer, connected to the test process's Temporal.
pub(crate) async fn queues() -> Result<TenantQueues, Box<dyn Error>> {
    let temporal = Temporal::shared().await?;
    Ok(TenantQueues::connect(temporal.address(), temporal.namespace()).await?)
}

/// A fresh organization.
pub(crate) fn org() -> OrgId {
    Uuid::new_v4().into()
}

/// Two fresh organizations, of which one's id starts with the other's.
pub(crate) fn prefix_pair() -> Result<OrgPair, Box<dyn Error>> {
    let id = format!("t{}", Uuid::new_v4().simple());
    Ok(OrgPair::new(id.parse()?, format!("{id}-b").parse()?)?)
}
