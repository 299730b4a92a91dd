use cupel_kms::{Class, Config, Credential, Error, RecordContext, Staging, TenantKeys};
use cupel_tenant::TenantScope;

use crate::services::{Service, TestResult, aws, keys_on, on_both_services, two_orgs};

on_both_services!(
    each_class_seals_and_opens,
    an_opened_secret_survives_a_restart,
    a_swapped_context_never_opens,
    a_data_key_seals_as_many_messages_as_allowed,
    without_a_cache_every_message_asks,
    hundred_at_once_share_one_data_key,
);

fn places() -> [RecordContext; 3] {
    [
        Credential::of("connectors", "crm-7", "password"),
        Staging::of("orders", "run-1", "part-0001.parquet"),
        Config::of("settings", "warehouse", "private_key"),
    ]
}

async fn each_class_seals_and_opens(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let pair = two_orgs(&keys).await?;
    let org = keys.scoped(&TenantScope::org(pair.first().clone()));
    let classes: Vec<_> = places().iter().map(RecordContext::class).collect();
    assert_eq!(classes, [Class::ConnectorCredentials, Class::StagingData, Class::SensitiveConfig]);
    for place in places() {
        for value in [&b""[..], b"x", &[0xff; 100_000]] {
            let sealed = org.seal(place.clone(), value).await?;
            assert_eq!(org.open(place.clone(), &sealed).await?.expose(), value);
        }
    }
    Ok(())
}

async fn an_opened_secret_survives_a_restart(service: impl Service) -> TestResult {
    let keys = keys_on(service.clone())?;
    let pair = two_orgs(&keys).await?;
    let scope = TenantScope::org(pair.first().clone());
    let [place, ..] = places();
    let stored = keys.scoped(&scope).seal(place.clone(), b"hunter2").await?.into_bytes();
    let sealed = cupel_kms::Sealed::parse(stored)?;
    let restarted = keys_on(service)?.scoped(&scope);
    assert_eq!(restarted.open(place, &sealed).await?.expose_str(), Some("hunter2"));
    Ok(())
}

/// Every pair of different places, in one organization and its workspaces and in another.
async fn a_swapped_context_never_opens(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let pair = two_orgs(&keys).await?;
    let org = TenantScope::org(pair.first().clone());
    let scopes = [
        TenantScope::org(pair.second().clone()),
        org.clone().narrow_to("analytics".parse()?)?,
        org.clone().narrow_to("finance".parse()?)?,
        org,
    ];
    let base = Credential::of("connectors", "crm-7", "password");
    let contexts = [
        Credential::of("connectors2", "crm-7", "password"),
        Credential::of("connectors", "crm-8", "password"),
        Credential::of("connectors", "crm-7", "username"),
        base.clone().schema_version(2),
        // The same texts in another class, and with their borders moved.
        Staging::of("connectors", "crm-7", "password"),
        Config::of("connectors", "crm-7", "password"),
        Credential::of("connectorsc", "rm-7", "password"),
        base,
    ];
    let mut sealed = Vec::new();
    for scope in &scopes {
        for context in &contexts {
            let value = keys.scoped(scope).seal(context.clone(), b"hunter2").await?;
            sealed.push((scope, context, value));
        }
    }
    for scope in &scopes {
        for context in &contexts {
            for (sealed_scope, sealed_context, value) in &sealed {
                let opened = keys.scoped(scope).open(context.clone(), value).await;
                if (scope, context) == (*sealed_scope, *sealed_context) {
                    assert_eq!(opened?.expose(), b"hunter2");
                } else {
                    assert!(matches!(opened, Err(Error::DoesNotOpen)), "{scope:?} {context:?}");
                }
            }
        }
    }
    Ok(())
}

/// On AWS KMS only: production refuses a keyring.
#[tokio::test]
async fn environments_do_not_open_each_others() -> TestResult {
    let (service, ()) = aws().await?;
    let keys = keys_on(service.clone())?;
    let pair = two_orgs(&keys).await?;
    let production = TenantKeys::new(service)?;
    let scope = TenantScope::org(pair.first().clone());
    let [place, ..] = places();
    let sealed = keys.scoped(&scope).seal(place.clone(), b"hunter2").await?;
    let opened = production.scoped(&scope).open(place, &sealed).await;
    assert!(matches!(opened, Err(Error::DoesNotOpen)));
    Ok(())
}

/// The data key's id: bytes 8 to 24 of the documented layout.
fn data_key(sealed: &cupel_kms::Sealed) -> Option<&[u8]> {
    sealed.as_bytes().get(8..24)
}

async fn a_data_key_seals_as_many_messages_as_allowed(service: impl Service) -> TestResult {
    let keys = TenantKeys::builder(service).production(false).messages_per_data_key(2).build()?;
    let pair = two_orgs(&keys).await?;
    let org = keys.scoped(&TenantScope::org(pair.first().clone()));
    let [place, ..] = places();
    let (one, two, three) = (
        org.seal(place.clone(), b"1").await?,
        org.seal(place.clone(), b"2").await?,
        org.seal(place.clone(), b"3").await?,
    );
    assert_eq!(data_key(&one), data_key(&two));
    assert_ne!(data_key(&two), data_key(&three));
    assert_eq!(org.open(place, &one).await?.expose(), b"1");
    Ok(())
}

async fn without_a_cache_every_message_asks(service: impl Service) -> TestResult {
    let ttl = std::time::Duration::ZERO;
    let keys = TenantKeys::builder(service.clone()).production(false).cache_ttl(ttl).build()?;
    let pair = two_orgs(&keys).await?;
    let org = keys.scoped(&TenantScope::org(pair.first().clone()));
    let [place, ..] = places();
    let (one, two) = (org.seal(place.clone(), b"1").await?, org.seal(place.clone(), b"2").await?);
    assert_ne!(data_key(&one), data_key(&two));
    // Another process suspends: the very next message is refused.
    let key = service.describe(&cupel_kms::KeyAlias::of(pair.first())).await?.id;
    service.disable(&key).await?;
    assert!(matches!(org.open(place, &one).await, Err(Error::Disabled)));
    Ok(())
}

async fn hundred_at_once_share_one_data_key(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let pair = two_orgs(&keys).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100_u8 {
        let org = keys.scoped(&TenantScope::org(pair.first().clone()));
        let [place, ..] = places();
        tasks.spawn(async move { org.seal(place, &[number]).await });
    }
    let mut ids = std::collections::BTreeSet::new();
    while let Some(sealed) = tasks.join_next().await {
        ids.insert(data_key(&sealed??).map(<[u8]>::to_vec));
    }
    assert_eq!(ids.len(), 1);
    Ok(())
}
