use std::time::Duration;

use cupel_kms::{
    AwsKms, Credential, Error, InvalidSealed, KeyAlias, KeyProvider, MAX_PLAINTEXT, Sealed,
    TenantKeys,
};
use cupel_tenant::{IsolationLayer, LayerErrorKind, OrgPair, TenantScope};
use uuid::Uuid;

use crate::services::{
    Service, TestResult, aws, keyring, keys_on, on_both_services, spec, two_orgs,
};

on_both_services!(
    an_organization_without_a_key_is_told_so,
    what_cannot_be_sealed_is_refused_before_the_service_is_asked,
    limits_out_of_bounds_are_refused,
);

async fn an_organization_without_a_key_is_told_so(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let org = OrgPair::canary(Uuid::new_v4()).first().clone();
    let handle = keys.scoped(&TenantScope::org(org.clone()));
    let refused = handle.seal(Credential::of("s", "r", "f"), b"x").await;
    assert!(matches!(refused, Err(Error::NoKey)));
    let refused = keys.suspend(&org).await.map_err(|error| error.kind());
    assert_eq!(refused, Err(LayerErrorKind::Refused));
    let findings = keys.audit(&org).await?;
    assert_eq!(findings.iter().map(|it| it.rule).collect::<Vec<_>>(), ["key-missing"]);
    // Use never makes a key.
    keys.provision(&spec(&org)).await?;
    handle.seal(Credential::of("s", "r", "f"), b"x").await?;
    Ok(())
}

/// The organization has no key, so an answer of the service would be `NoKey`.
async fn what_cannot_be_sealed_is_refused_before_the_service_is_asked(
    service: impl Service,
) -> TestResult {
    let keys = keys_on(service)?;
    let org = OrgPair::canary(Uuid::new_v4()).first().clone();
    let handle = keys.scoped(&TenantScope::org(org));
    let empty = handle.seal(Credential::of("s", "", "f"), b"x").await;
    assert!(matches!(empty, Err(Error::Context { part: "record key" })));
    let large = vec![0; MAX_PLAINTEXT + 1];
    let large = handle.seal(Credential::of("s", "r", "f"), &large).await;
    assert!(matches!(large, Err(Error::TooLarge)));
    Ok(())
}

async fn limits_out_of_bounds_are_refused(service: impl Service) -> TestResult {
    let builder = || TenantKeys::builder(service.clone()).production(false);
    for days in [0, 6, 31] {
        let refused = builder().deletion_window_days(days).build();
        assert!(matches!(refused, Err(Error::DeletionWindow)));
    }
    let refused = builder().cache_ttl(Duration::from_secs(901)).build();
    assert!(matches!(refused, Err(Error::CacheLimits)));
    let refused = builder().messages_per_data_key(0).build();
    assert!(matches!(refused, Err(Error::CacheLimits)));
    Ok(())
}

#[test]
fn stored_bytes_are_refused_by_rule() {
    for (bytes, rule) in [
        (&b""[..], InvalidSealed::Truncated),
        (b"CUP", InvalidSealed::Truncated),
        (b"plain text password", InvalidSealed::Magic),
        (b"CUPL\x02\x01\x02\x01", InvalidSealed::Version),
        (b"CUPL\x01\x63\x02\x01", InvalidSealed::Suite),
        (b"CUPL\x01\x01\x82\x01", InvalidSealed::Flags),
        (b"CUPL\x01\x01\x03\x01", InvalidSealed::StreamNotBuilt),
        (b"CUPL\x01\x01\x00\x01", InvalidSealed::KeyTableNotBuilt),
        (b"CUPL\x01\x01\x02\x00", InvalidSealed::Class),
    ] {
        assert_eq!(Sealed::parse(bytes).unwrap_err(), rule);
    }
}

#[tokio::test]
async fn production_refuses_a_keyring_and_takes_a_loopback_server() -> TestResult {
    let (keyring, _folder) = keyring().await?;
    assert!(matches!(TenantKeys::new(keyring), Err(Error::LocalKeyring)));
    let (aws, ()) = aws().await?;
    aws.check_production()?;
    TenantKeys::new(aws)?;
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_is_none_or_silent_is_told_apart() -> TestResult {
    let connect = |endpoint: &str| {
        let builder = AwsKms::builder().region("us-east-1").endpoint(endpoint);
        builder.credentials("test", "test".into()).connect()
    };
    assert!(matches!(connect("kms").await, Err(Error::InvalidEndpoint)));
    // A port that was free a moment ago: nothing listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let silent = connect(&format!("http://127.0.0.1:{port}")).await;
    assert!(matches!(silent, Err(Error::Unreachable { .. })), "{silent:?}");
    Ok(())
}

#[tokio::test]
async fn health_names_the_service_and_no_secret() -> TestResult {
    let (aws, ()) = aws().await?;
    let health = aws.health().await?;
    assert_eq!((health.product.as_str(), health.detail.as_str()), ("AWS KMS", "region us-east-1"));
    assert!(health.endpoint.starts_with("http://127.0.0.1:"));
    let (keyring, _folder) = keyring().await?;
    let keys = keys_on(keyring)?;
    two_orgs(&keys).await?;
    assert_eq!(keys.health().await?.detail, "2 keys");
    Ok(())
}

#[tokio::test]
async fn an_alias_that_nothing_has_is_no_key() -> TestResult {
    let (aws, ()) = aws().await?;
    let org = OrgPair::canary(Uuid::new_v4()).first().clone();
    assert!(matches!(aws.describe(&KeyAlias::of(&org)).await, Err(Error::NoKey)));
    Ok(())
}
