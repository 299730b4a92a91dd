//! What the tests share: a server, and organizations that nobody else uses.

use std::error::Error;

use cupel_rediskey::TenantCache;
use cupel_tenant::{OrgId, OrgPair, TenantScope};
use cupel_testkit::Redis;
use uuid::Uuid;

pub(crate) type Test = Result<(), Box<dyn Error>>;

/// A connection to the server that the tests of this process share.
pub(crate) async fn cache() -> Result<TenantCache, Box<dyn Error>> {
    Ok(TenantCache::connect(Redis::shared().await?.url()).await?)
}

/// An organization of this test.
pub(crate) fn org() -> OrgId {
    Uuid::new_v4().into()
}

/// Two organizations of this test, one's id the beginning of the other's.
pub(crate) fn pair() -> Result<OrgPair, Box<dyn Error>> {
    let short = Uuid::new_v4().simple().to_string();
    let short: OrgId = format!("acme-{}", short.split_at(8).0).parse()?;
    let long = format!("{short}-corp").parse()?;
    Ok(OrgPair::new(short, long)?)
}

pub(crate) fn scope(org: &OrgId) -> TenantScope {
    TenantScope::org(org.clone())
}

pub(crate) fn workspace(org: &OrgId, name: &str) -> Result<TenantScope, Box<dyn Error>> {
    Ok(scope(org).narrow_to(name.parse()?)?)
}
