//! Each organization attacks the other, with controls.

use cupel_tenant::{Attempt, OrgPair};

use crate::{Error, TenantKeys};

pub(crate) async fn run(_keys: &TenantKeys, _pair: &OrgPair) -> Result<Vec<Attempt>, Error> {
    Ok(Vec::new())
}
