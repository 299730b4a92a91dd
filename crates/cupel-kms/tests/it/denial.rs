//! The key service takes a key away, and the memory of it ends.

use aws_sdk_kms::Client;
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use cupel_kms::{Config, Credential, Error, KeyAlias, KeyProvider};
use cupel_tenant::TenantScope;

use crate::services::{TestResult, aws, keys_on, two_orgs};

const DENY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*",
    "Action":["kms:Decrypt","kms:GenerateDataKey"],"Resource":"*"}]}"#;

#[tokio::test]
async fn one_denial_ends_every_cached_key_of_that_organization_only() -> TestResult {
    let (service, ()) = aws().await?;
    let keys = keys_on(service.clone())?;
    let pair = two_orgs(&keys).await?;
    let org = keys.scoped(&TenantScope::org(pair.first().clone()));
    let other = keys.scoped(&TenantScope::org(pair.second().clone()));
    let (cached, new) = (Credential::of("s", "r", "f"), Config::of("s", "o", "f"));
    let sealed = org.seal(cached.clone(), b"hunter2").await?;
    let theirs = other.seal(cached.clone(), b"theirs").await?;
    org.open(cached.clone(), &sealed).await?;
    other.open(cached.clone(), &theirs).await?;

    let key = service.describe(&KeyAlias::of(pair.first())).await?.id;
    let policy = raw_client().await?.put_key_policy().key_id(key.as_str());
    policy.policy_name("default").policy(DENY).send().await?;

    // Within its time to live, a key in memory serves: that is the documented bound.
    org.open(cached.clone(), &sealed).await?;
    // The first denial ends that: a key of another class is asked for and refused.
    assert!(matches!(org.seal(new, b"x").await, Err(Error::Denied { .. })));
    assert!(matches!(org.open(cached.clone(), &sealed).await, Err(Error::Denied { .. })));
    assert_eq!(other.open(cached, &theirs).await?.expose(), b"theirs");
    Ok(())
}

/// The owner of the account, who may change policies.
async fn raw_client() -> Result<Client, cupel_testkit::Error> {
    let server = cupel_testkit::Kms::shared().await?;
    let (id, secret) = (server.access_key_id(), server.secret_access_key());
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(server.region()))
        .endpoint_url(server.endpoint())
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .build();
    Ok(Client::from_conf(config))
}
