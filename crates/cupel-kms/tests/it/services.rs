//! The key services that the suite runs on.

use std::error::Error;

use cupel_kms::{AwsKms, KeyAdmin, KeyProvider, LocalKeyring, TenantKeys, Unlock};
use cupel_tenant::{IsolationLayer, OrgId, OrgPair, OrgSpec, Tier};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) type TestResult = Result<(), Box<dyn Error>>;

/// What both services are.
pub(crate) trait Service: KeyProvider + KeyAdmin + Clone {}

impl<S: KeyProvider + KeyAdmin + Clone> Service for S {}

/// A keyring of its own, and the folder that holds it.
pub(crate) async fn keyring() -> Result<(LocalKeyring, TempDir), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let unlock = Unlock::KeyFile(folder.path().join("keyring.key"));
    Ok((LocalKeyring::open(folder.path().join("keyring"), unlock).await?, folder))
}

/// The KMS server that the tests of this process share.
pub(crate) async fn aws() -> Result<(AwsKms, ()), Box<dyn Error>> {
    let server = cupel_testkit::Kms::shared().await?;
    let kms = AwsKms::builder()
        .region(server.region())
        .endpoint(server.endpoint())
        .credentials(server.access_key_id(), server.secret_access_key().into())
        .connect()
        .await?;
    Ok((kms, ()))
}

/// Keys outside production, as tests have them.
pub(crate) fn keys_on(service: impl Service) -> Result<TenantKeys, cupel_kms::Error> {
    TenantKeys::builder(service).production(false).build()
}

/// Two new organizations that differ in their last digit, each with a key.
pub(crate) async fn two_orgs(keys: &TenantKeys) -> Result<OrgPair, Box<dyn Error>> {
    let pair = OrgPair::canary(Uuid::new_v4());
    for org in [pair.first(), pair.second()] {
        keys.provision(&spec(org)).await?;
    }
    Ok(pair)
}

pub(crate) fn spec(org: &OrgId) -> OrgSpec {
    OrgSpec::new(org.clone(), Tier::STANDARD)
}

/// Runs each function as a test on either service.
macro_rules! on_both_services {
    ($($name:ident),* $(,)?) => {
        mod on_a_keyring {
            $(#[tokio::test]
            async fn $name() -> crate::services::TestResult {
                let (service, _folder) = crate::services::keyring().await?;
                super::$name(service).await
            })*
        }

        mod on_aws_kms {
            $(#[tokio::test]
            async fn $name() -> crate::services::TestResult {
                let (service, ()) = crate::services::aws().await?;
                super::$name(service).await
            })*
        }
    };
}

pub(crate) use on_both_services;
