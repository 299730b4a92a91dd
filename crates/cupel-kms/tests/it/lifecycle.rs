use cupel_kms::{Credential, Error, KeyAlias, KeyState, TenantKeys};
use cupel_tenant::{IsolationLayer, OrgId, OrgPair, Severity, TenantScope};
use uuid::Uuid;

use crate::services::{Service, TestResult, keys_on, on_both_services, spec, two_orgs};

on_both_services!(
    provisioning_twice_changes_nothing,
    two_provisioners_agree_on_one_key,
    a_suspended_organization_is_refused_and_loses_nothing,
    another_process_refuses_when_its_cached_keys_end,
    an_erased_organization_opens_nothing_and_the_other_still_works,
    erasing_twice_or_what_never_was_changes_nothing,
    an_erasure_that_stopped_half_way_is_finished,
    an_alias_that_was_bent_is_refused_found_and_never_destroys_the_others_key,
    a_data_plane_cannot_administer,
);

fn place() -> cupel_kms::RecordContext {
    Credential::of("connectors", "crm-7", "password")
}

fn scope(org: &OrgId) -> TenantScope {
    TenantScope::org(org.clone())
}

async fn provisioning_twice_changes_nothing(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let org = OrgPair::canary(Uuid::new_v4()).first().clone();
    let first = keys.provision(&spec(&org)).await?;
    assert_eq!(
        first.iter().collect::<Vec<_>>(),
        [format!("created a key under alias/cupel-org-{org}")]
    );
    assert!(keys.provision(&spec(&org)).await?.is_empty());
    assert_eq!(keys.audit(&org).await?, []);
    Ok(())
}

async fn two_provisioners_agree_on_one_key(service: impl Service) -> TestResult {
    let org = OrgPair::canary(Uuid::new_v4()).first().clone();
    let (one, other) = tokio::try_join!(service.create(&org), service.create(&org))?;
    let agreed = service.describe(&KeyAlias::of(&org)).await?;
    assert_eq!(agreed.owner, Some(org));
    assert!(one == agreed || other == agreed);
    Ok(())
}

async fn a_suspended_organization_is_refused_and_loses_nothing(
    service: impl Service,
) -> TestResult {
    let keys = keys_on(service)?;
    let pair = two_orgs(&keys).await?;
    let (org, other) = (keys.scoped(&scope(pair.first())), keys.scoped(&scope(pair.second())));
    let sealed = org.seal(place(), b"hunter2").await?;

    keys.suspend(pair.first()).await?;
    keys.suspend(pair.first()).await?;
    assert!(matches!(org.open(place(), &sealed).await, Err(Error::Disabled)));
    assert!(matches!(org.seal(place(), b"more").await, Err(Error::Disabled)));
    other.seal(place(), b"theirs").await?;
    let findings = keys.audit(pair.first()).await?;
    assert_eq!(findings.iter().map(|it| it.rule).collect::<Vec<_>>(), ["key-disabled"]);
    // Onboarding again does not resume.
    assert!(keys.provision(&spec(pair.first())).await?.is_empty());
    assert!(matches!(org.open(place(), &sealed).await, Err(Error::Disabled)));

    keys.resume(pair.first()).await?;
    assert_eq!(org.open(place(), &sealed).await?.expose(), b"hunter2");
    Ok(())
}

async fn another_process_refuses_when_its_cached_keys_end(service: impl Service) -> TestResult {
    let here = keys_on(service.clone())?;
    let ttl = std::time::Duration::from_millis(500);
    let there = TenantKeys::builder(service).production(false).cache_ttl(ttl).build()?;
    let pair = two_orgs(&here).await?;
    let handle = there.scoped(&scope(pair.first()));
    let sealed = handle.seal(place(), b"hunter2").await?;
    handle.open(place(), &sealed).await?;

    here.suspend(pair.first()).await?;
    let suspended = std::time::Instant::now();
    while handle.open(place(), &sealed).await.is_ok() {
        assert!(suspended.elapsed() < std::time::Duration::from_secs(10), "it never ends");
        tokio::task::yield_now().await;
    }
    assert!(matches!(handle.open(place(), &sealed).await, Err(Error::Disabled)));
    Ok(())
}

async fn an_erased_organization_opens_nothing_and_the_other_still_works(
    service: impl Service,
) -> TestResult {
    let keys = keys_on(service.clone())?;
    let pair = two_orgs(&keys).await?;
    let (org, other) = (keys.scoped(&scope(pair.first())), keys.scoped(&scope(pair.second())));
    let sealed = org.seal(place(), b"hunter2").await?;
    let theirs = other.seal(place(), b"theirs").await?;
    let key = service.describe(&KeyAlias::of(pair.first())).await?.id;

    keys.suspend(pair.first()).await?;
    let erasure = keys.erase(pair.first()).await?;
    assert!(erasure.is_complete(), "{erasure:?}");
    let items: Vec<_> = erasure.items().iter().map(ToString::to_string).collect();
    assert_eq!(items, ["1 keys scheduled for deletion", "1 aliases"]);

    assert_eq!(service.state(&key).await?, KeyState::PendingDeletion);
    assert!(matches!(org.open(place(), &sealed).await, Err(Error::NoKey)));
    assert_eq!(other.open(place(), &theirs).await?.expose(), b"theirs");

    // A canary is made anew under its old id, and then has another key.
    keys.provision(&spec(pair.first())).await?;
    assert!(matches!(org.open(place(), &sealed).await, Err(Error::DoesNotOpen)));
    Ok(())
}

async fn erasing_twice_or_what_never_was_changes_nothing(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let pair = two_orgs(&keys).await?;
    keys.erase(pair.first()).await?;
    let never = OrgPair::canary(Uuid::new_v4()).first().clone();
    for org in [pair.first(), &never] {
        let erasure = keys.erase(org).await?;
        assert!(erasure.items().is_empty() && erasure.is_complete(), "{erasure:?}");
    }
    Ok(())
}

async fn an_erasure_that_stopped_half_way_is_finished(service: impl Service) -> TestResult {
    let keys = keys_on(service.clone())?;
    let pair = two_orgs(&keys).await?;
    let key = service.describe(&KeyAlias::of(pair.first())).await?.id;
    // The process died here: the key is going, and its alias still leads to it.
    service.schedule_deletion(&key, 7).await?;
    let org = keys.scoped(&scope(pair.first()));
    assert!(matches!(org.seal(place(), b"hunter2").await, Err(Error::AwaitsDeletion)));
    assert!(keys.provision(&spec(pair.first())).await.is_err());
    assert!(keys.resume(pair.first()).await.is_err());
    let found = keys.audit(pair.first()).await?;
    assert_eq!(found.iter().map(|it| it.rule).collect::<Vec<_>>(), ["key-going"]);
    let erasure = keys.erase(pair.first()).await?;
    let items: Vec<_> = erasure.items().iter().map(ToString::to_string).collect();
    assert_eq!((items, erasure.is_complete()), (vec!["1 aliases".to_owned()], true));
    Ok(())
}

async fn an_alias_that_was_bent_is_refused_found_and_never_destroys_the_others_key(
    service: impl Service,
) -> TestResult {
    let keys = keys_on(service.clone())?;
    let pair = two_orgs(&keys).await?;
    let (bent, key) =
        (KeyAlias::of(pair.first()), service.describe(&KeyAlias::of(pair.second())).await?.id);
    service.point_alias(&bent, &key).await?;

    let org = keys.scoped(&scope(pair.first()));
    assert!(matches!(org.seal(place(), b"hunter2").await, Err(Error::ForeignKey)));
    let findings = keys.audit(pair.first()).await?;
    let found: Vec<_> = findings.iter().map(|it| (it.rule, it.severity)).collect();
    assert_eq!(found, [("key-foreign", Severity::Critical)]);
    assert!(keys.provision(&spec(pair.first())).await.is_err());
    assert!(keys.suspend(pair.first()).await.is_err());
    assert!(keys.erase(pair.first()).await.is_err());
    assert_eq!(service.state(&key).await?, KeyState::Enabled);
    Ok(())
}

async fn a_data_plane_cannot_administer(service: impl Service) -> TestResult {
    let pair = two_orgs(&keys_on(service.clone())?).await?;
    let provider = std::sync::Arc::new(service);
    let keys = TenantKeys::data_plane(provider).production(false).build()?;
    let org = keys.scoped(&scope(pair.first()));
    let sealed = org.seal(place(), b"hunter2").await?;
    assert_eq!(org.open(place(), &sealed).await?.expose(), b"hunter2");
    // Onboarding again needs no right, since nothing is to be made.
    assert!(keys.provision(&spec(pair.first())).await?.is_empty());
    assert!(keys.suspend(pair.first()).await.is_err());
    assert!(keys.erase(pair.first()).await.is_err());
    org.open(place(), &sealed).await?;
    Ok(())
}
