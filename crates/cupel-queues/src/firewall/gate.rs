use std::sync::Arc;

use cupel_tenant::OrgId;
use temporal_client::Connection;

use super::issued::Issued;
use super::names::Names;
use crate::Error;
use crate::standing::Standing;

/// What stands between one organization and the server.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(super) names: Names,
    pub(super) issued: Issued,
    pub(super) upstream: Connection,
    standing: Arc<Standing>,
}

impl Gate {
    /// A gate for `org`. `upstream` reaches the server and does not retry: the organization's own
    /// connection does.
    pub(crate) fn new(
        org: &OrgId,
        namespace: &str,
        upstream: Connection,
        standing: Arc<Standing>,
    ) -> Self {
        Self { names: Names::of(org, namespace), issued: Issued::default(), upstream, standing }
    }

    /// Refuses a suspended organization.
    pub(crate) async fn admit(&self) -> Result<(), Error> {
        self.standing.admit().await
    }
}
