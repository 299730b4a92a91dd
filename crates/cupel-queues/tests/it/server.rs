use std::error::Error;
use std::time::{Duration, Instant};

use cupel_queues::{Builder, TenantQueues};
use cupel_tenant::{OrgId, OrgPair};
use cupel_testkit::Temporal;
use tokio::time::sleep;
use uuid::Uuid;

/// How long a condition may take to become true.
const PATIENCE: Duration = Duration::from_secs(30);

/// The layer, to be connected to the test process's Temporal.
pub(crate) async fn builder() -> Result<Builder, Box<dyn Error>> {
    builder_of(Temporal::shared().await?.namespace()).await
}

pub(crate) async fn builder_of(namespace: &str) -> Result<Builder, Box<dyn Error>> {
    Ok(TenantQueues::builder(Temporal::shared().await?.address(), namespace))
}

/// The layer, connected, as another process would be.
pub(crate) async fn queues() -> Result<TenantQueues, Box<dyn Error>> {
    Ok(builder().await?.connect().await?)
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

/// Waits until `holds` does.
pub(crate) async fn eventually(
    what: &str,
    holds: impl AsyncFn() -> Result<bool, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await? {
        if Instant::now() > deadline {
            return Err(format!("not in time: {what}").into());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
