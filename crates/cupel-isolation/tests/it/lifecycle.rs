//! The life of an organization, through all five layers.

use cupel_isolation::cache::Ttl;
use cupel_isolation::keys::{Credential, RecordContext, Sealed};
use cupel_isolation::{Error, Isolation, OrgSpec, OrgState, Tenant, Tier};

use crate::bed::{self, TestResult};

/// Leaves something of `text` in every store that holds data.
async fn work(tenant: &Tenant, text: &str) -> Result<Sealed, Box<dyn std::error::Error>> {
    let mut tx = tenant.database()?.begin().await?;
    sqlx::query("INSERT INTO pipelines (org_id, id, name) VALUES ($1, 'p1', $2)")
        .bind(tenant.scope().org_id().as_str())
        .bind(text)
        .execute(&mut tx)
        .await?;
    tx.commit().await?;
    tenant.cache()?.family("schemas").set("crm", &text, Ttl::minutes(10)).await?;
    Ok(tenant.keys()?.seal(password(), text.as_bytes()).await?)
}

/// Sees whether it is still there.
async fn sees(
    tenant: &Tenant,
    text: &str,
    sealed: &Sealed,
) -> Result<bool, Box<dyn std::error::Error>> {
    let mut tx = tenant.database()?.begin().await?;
    let name: Option<String> = sqlx::query_scalar("SELECT name FROM pipelines WHERE id = 'p1'")
        .fetch_optional(&mut tx)
        .await?;
    tx.commit().await?;
    let opened = tenant.keys()?.open(password(), sealed).await?;
    Ok(name.as_deref() == Some(text) && opened.expose() == text.as_bytes())
}

fn password() -> RecordContext {
    Credential::of("connectors", "c1", "password")
}

#[tokio::test]
async fn an_organization_lives_through_every_layer() -> TestResult {
    let config = bed::all_layers().await?;
    let isolation = Isolation::connect(&config).await?;
    let [acme, globex] = bed::onboard(&isolation, ["acme", "globex"]).await?;

    let again = isolation.onboard(OrgSpec::new(acme.clone(), Tier::STANDARD)).await?;
    for (layer, changes) in again.layers() {
        assert!(changes.is_empty(), "{layer} changed {changes:?} the second time");
    }

    let tenant = isolation.enter(bed::scope(&acme)).await?;
    let other = isolation.enter(bed::scope(&globex)).await?;
    let sealed = work(&tenant, "acme's").await?;
    let others = work(&other, "globex's").await?;
    assert!(sees(&tenant, "acme's", &sealed).await?);

    // Suspended: nobody enters, and the handles in hand are refused by their layers.
    isolation.suspend(&acme).await?;
    let entered = isolation.enter(bed::scope(&acme)).await;
    assert!(matches!(entered, Err(Error::State { state: OrgState::Suspended, .. })), "{entered:?}");
    assert!(tenant.database()?.begin().await.is_err(), "the database let it in");
    assert!(tenant.cache()?.family("schemas").get::<String>("crm").await.is_err(), "the cache did");
    assert!(tenant.keys()?.open(password(), &sealed).await.is_err(), "the keys did");
    assert!(sees(&other, "globex's", &others).await?, "the other one is untouched");
    isolation.suspend(&acme).await?;

    isolation.resume(&acme).await?;
    let tenant = isolation.enter(bed::scope(&acme)).await?;
    assert!(sees(&tenant, "acme's", &sealed).await?, "nothing was lost");

    let certificate = isolation.offboard(&acme).await?;
    assert!(certificate.is_complete());
    let rows = certificate.layers().iter().flat_map(|(_, erasure)| erasure.items());
    assert!(rows.map(|it| it.count).sum::<u64>() >= 3, "{certificate:?}");
    assert!(isolation.offboard(&acme).await?.is_complete(), "once more changes nothing");

    for refused in [
        isolation.enter(bed::scope(&acme)).await.map(drop),
        isolation.resume(&acme).await,
        isolation.suspend(&acme).await,
        isolation.onboard(OrgSpec::new(acme.clone(), Tier::STANDARD)).await.map(drop),
    ] {
        assert!(
            matches!(refused, Err(Error::State { state: OrgState::Erased, .. })),
            "{refused:?}"
        );
    }
    assert!(sees(&other, "globex's", &others).await?, "the other one is still untouched");
    isolation.offboard(&globex).await?;
    Ok(())
}

#[tokio::test]
async fn an_organization_that_was_never_onboarded_is_unknown() -> TestResult {
    let config = bed::layers(&["database"]).await?;
    let isolation = Isolation::connect(&config).await?;
    let nobody = "nobody".parse()?;
    assert!(matches!(isolation.enter(bed::scope(&nobody)).await, Err(Error::Unknown { .. })));
    assert!(matches!(isolation.suspend(&nobody).await, Err(Error::Unknown { .. })));
    assert!(matches!(isolation.offboard(&nobody).await, Err(Error::Unknown { .. })));
    Ok(())
}

#[tokio::test]
async fn without_the_database_there_is_no_registry() -> TestResult {
    let config = bed::layers(&["cache"]).await?;
    let isolation = Isolation::connect(&config).await?;
    assert!(matches!(isolation.list().await, Err(Error::NoRegistry)));
    let acme: cupel_isolation::OrgId = "acme".parse()?;
    let tenant = isolation.enter(bed::scope(&acme)).await?;
    assert!(tenant.cache().is_ok());
    assert!(matches!(tenant.database(), Err(Error::NotConfigured { .. })));
    Ok(())
}
