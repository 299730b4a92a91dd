use std::time::{Duration, Instant};

use cupel_tenant::{IsolationLayer, LayerErrorKind, OrgSpec, OrgState, Registry, Tier};
use cupel_tenant_db::{ContextMode, Error};
use cupel_testkit::Postgres;
use sqlx::Executor;

use crate::bed::{Bed, TestResult, org_id, scope, sql};

#[tokio::test]
async fn provisioning_twice_changes_nothing() -> TestResult {
    let bed = Bed::start().await?;
    let spec = OrgSpec::new(org_id("acme"), Tier::ENTERPRISE);
    let first = bed.db.provision(&spec).await?;
    assert_eq!(first.iter().collect::<Vec<_>>(), ["registered acme"]);
    assert!(bed.db.provision(&spec).await?.is_empty());
    let health = bed.db.health().await?;
    assert_eq!(health.product, "PostgreSQL");
    assert_eq!(health.detail, "plain context, 5 tables isolated, 0 the same for everybody");
    Ok(())
}

#[tokio::test]
async fn a_suspended_organization_is_refused_and_loses_nothing() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "nightly").await?;
    bed.pipeline("globex", "nightly").await?;
    // Also one that was never registered.
    for _ in 0..2 {
        bed.db.suspend(&org_id("acme")).await?;
    }
    let refused = bed.db.begin(&scope("acme")).await;
    assert!(
        matches!(refused, Err(Error::OrgRefused { state: OrgState::Suspended })),
        "{refused:?}"
    );
    bed.db.begin(&scope("globex")).await?.rollback().await?;
    for _ in 0..2 {
        bed.db.resume(&org_id("acme")).await?;
    }
    let mut tx = bed.db.begin(&scope("acme")).await?;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM pipelines").fetch_one(&mut tx).await?;
    assert_eq!(rows, 1);
    Ok(())
}

#[tokio::test]
async fn erasing_takes_every_row_and_no_other_organization_s() -> TestResult {
    let bed = Bed::start().await?;
    bed.prove().await?;
    let erasure = bed.db.erase(&org_id("acme")).await?;
    assert!(erasure.is_complete());
    assert_eq!(erasure.items().len(), 5);
    assert!(erasure.items().iter().all(|it| it.count == 4), "{erasure:?}");
    for table in [
        "SELECT count(*) FROM pipelines",
        "SELECT count(*) FROM pipeline_runs",
        "SELECT count(*) FROM quality_results",
        "SELECT count(*) FROM component_libraries",
        "SELECT count(*) FROM data_products",
    ] {
        assert_eq!(bed.number(table).await?, 4, "{table}");
    }
    let again = bed.db.erase(&org_id("acme")).await?;
    assert!(again.is_complete() && again.items().is_empty());
    let logged = "SELECT count(*) FROM cupel.access_log WHERE actor = 'cupel' AND orgs = '{acme}'";
    // A transaction for each table, twice.
    assert_eq!(bed.number(logged).await?, 10);
    Ok(())
}

#[tokio::test]
async fn erasing_waits_for_what_was_let_in_before() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    let mut late = bed.db.begin(&scope("acme")).await?;
    let db = bed.db.clone();
    let erasing = tokio::spawn(async move { db.erase(&org_id("acme")).await });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!erasing.is_finished(), "the older transaction is still open");
    late.execute("INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'late', 'late')")
        .await?;
    late.commit().await?;
    let erasure = erasing.await??;
    assert!(erasure.is_complete());
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 0);
    Ok(())
}

#[tokio::test]
async fn erasing_waits_for_what_is_prepared() -> TestResult {
    let server = Postgres::configured(&["max_prepared_transactions=2"]).await?;
    let bed = Bed::at(server.database().await?, ContextMode::Plain, 2).await?;
    let mut late = bed.db.begin(&scope("acme")).await?;
    late.execute("INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'late', 'late')")
        .await?;
    late.execute("PREPARE TRANSACTION 'late'").await?;
    assert!(late.commit().await.is_err(), "it is no longer here that it is committed");
    let db = bed.db.clone();
    let erasing = tokio::spawn(async move { db.erase(&org_id("acme")).await });
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert!(!erasing.is_finished(), "it can still be committed");
    sql(&bed.app_url, "COMMIT PREPARED 'late'").await?;
    let erasure = erasing.await??;
    assert!(erasure.is_complete());
    assert_eq!(erasure.items().len(), 1, "{erasure:?}");
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 0);
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn another_process_refuses_a_suspended_organization_within_a_second() -> TestResult {
    let bed = Bed::start().await?;
    bed.db.provision(&OrgSpec::new(org_id("acme"), Tier::STANDARD)).await?;
    let other = cupel_tenant_db::TenantDb::connect(&bed.app_url).await?;
    other.begin(&scope("acme")).await?.rollback().await?;
    bed.db.suspend(&org_id("acme")).await?;
    let suspended = Instant::now();
    while other.begin(&scope("acme")).await.is_ok() {
        assert!(suspended.elapsed() < Duration::from_millis(1500), "it is still let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test]
async fn an_organization_on_its_way_out_does_not_come_back() -> TestResult {
    let bed = Bed::start().await?;
    let acme = org_id("acme");
    bed.db.provision(&OrgSpec::new(acme.clone(), Tier::STANDARD)).await?;
    bed.db.erase(&acme).await?;
    let refused = bed.db.begin(&scope("acme")).await;
    assert!(matches!(refused, Err(Error::OrgRefused { state: OrgState::Offboarding })));
    bed.db.suspend(&acme).await?;
    let Err(refused) = bed.db.resume(&acme).await else { return Err("it came back".into()) };
    assert_eq!(refused.kind(), LayerErrorKind::Refused);
    let registry = bed.db.registry().ok_or("no registry")?;
    registry.set_state(&acme, &[OrgState::Offboarding], OrgState::Erased).await?;
    bed.db.erase(&acme).await?;
    let spec = OrgSpec::new(acme, Tier::STANDARD);
    assert!(registry.register(&spec).await.is_err());
    assert!(bed.db.provision(&spec).await.is_err());
    Ok(())
}

#[tokio::test]
async fn the_registry_keeps_tier_state_and_order() -> TestResult {
    let bed = Bed::start().await?;
    let registry = bed.db.registry().ok_or("no registry")?;
    for org in ["globex", "acme"] {
        let record = registry.register(&OrgSpec::new(org_id(org), Tier::STANDARD)).await?;
        assert_eq!(record.state, OrgState::Onboarding);
        assert!(record.created.elapsed()?.as_secs() < 60);
    }
    let (onboarding, active) = (OrgState::Onboarding, OrgState::Active);
    let set = registry.set_state(&org_id("acme"), &[onboarding], active).await?;
    assert_eq!(set, Some(active));
    let record = registry.register(&OrgSpec::new(org_id("acme"), Tier::ENTERPRISE)).await?;
    assert_eq!((record.state, record.tier), (OrgState::Active, Tier::ENTERPRISE));
    let listed: Vec<_> = registry.list().await?.into_iter().map(|it| it.org).collect();
    assert_eq!(listed, [org_id("acme"), org_id("globex")]);
    let set = registry.set_state(&org_id("nobody"), &OrgState::ALL, active).await?;
    assert_eq!(set, None);
    for _ in 0..2 {
        registry.forget(&org_id("acme")).await?;
    }
    assert_eq!(registry.find(&org_id("acme")).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_state_moves_only_from_where_the_caller_says() -> TestResult {
    let bed = Bed::start().await?;
    let registry = bed.db.registry().ok_or("no registry")?;
    let acme = org_id("acme");
    registry.register(&OrgSpec::new(acme.clone(), Tier::STANDARD)).await?;
    let (onboarding, active, suspended) =
        (OrgState::Onboarding, OrgState::Active, OrgState::Suspended);
    for (from, to, afterwards) in [
        (&OrgState::ALL[..], suspended, onboarding), // no move at all
        (&[active], active, onboarding),
        (&[], active, onboarding),
        (&[onboarding, active], active, active),
        (&[onboarding], active, active), // where it is already
        (&[active, suspended], suspended, suspended),
        (&[onboarding, active], active, suspended), // would move, but not from there
        (&[suspended], active, active),
    ] {
        let set = registry.set_state(&acme, from, to).await?;
        assert_eq!(set, Some(afterwards), "from {from:?} to {to}");
        assert_eq!(registry.find(&acme).await?.map(|it| it.state), Some(afterwards));
    }
    Ok(())
}
