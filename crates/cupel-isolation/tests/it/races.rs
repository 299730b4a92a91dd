//! Two processes that lead the same organization at once, in opposite directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cupel_isolation::{Error, Isolation, LayerName, OrgId, OrgSpec, OrgState, Tier};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::bed::{self, TestResult};

/// The same as another process sees it: which does `other` once, as this one begins `action` in `layer`.
fn met_by<F>(
    isolation: &Isolation,
    (action, layer): (&'static str, LayerName),
    other: impl Fn(Isolation, OrgId) -> F + Send + Sync + 'static,
) -> Isolation
where
    F: Future<Output = ()>,
{
    let (elsewhere, done) = (isolation.clone(), AtomicBool::new(false));
    isolation.clone().observed_by(Arc::new(move |step| {
        let now = (step.action, step.layer) == (action, layer);
        if now && !done.swap(true, Ordering::SeqCst) {
            let work = other(elsewhere.clone(), step.org.clone());
            block_in_place(|| Handle::current().block_on(work));
        }
    }))
}

async fn state(isolation: &Isolation, org: &OrgId) -> Result<Option<OrgState>, Error> {
    let listed = isolation.list().await?;
    Ok(listed.into_iter().find(|it| &it.org == org).map(|it| it.state))
}

fn spec(org: &OrgId) -> OrgSpec {
    OrgSpec::new(org.clone(), Tier::STANDARD)
}

#[tokio::test(flavor = "multi_thread")]
async fn onboarding_again_does_not_undo_a_suspension() -> TestResult {
    let config = bed::layers(&["database", "cache"]).await?;
    let isolation = Isolation::connect(&config).await?;
    let [acme] = bed::onboard(&isolation, ["acme"]).await?;

    let met = met_by(&isolation, ("provisioning", LayerName::Cache), async |isolation, org| {
        isolation.suspend(&org).await.expect("an active organization is suspended");
    });
    let onboarded = met.onboard(spec(&acme)).await;
    assert!(
        matches!(onboarded, Err(Error::State { state: OrgState::Suspended, .. })),
        "{onboarded:?}"
    );
    assert_eq!(state(&isolation, &acme).await?, Some(OrgState::Suspended));
    assert!(isolation.enter(bed::scope(&acme)).await.is_err(), "it was let in");

    isolation.resume(&acme).await?;
    isolation.onboard(spec(&acme)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn offboarding_does_not_go_on_with_layers_that_were_opened_again() -> TestResult {
    let config = bed::layers(&["database", "cache"]).await?;
    let isolation = Isolation::connect(&config).await?;
    let [acme] = bed::onboard(&isolation, ["acme"]).await?;

    let met = met_by(&isolation, ("suspending", LayerName::Cache), async |isolation, org| {
        isolation.resume(&org).await.expect("a suspended organization is resumed");
    });
    let offboarded = met.offboard(&acme).await;
    assert!(
        matches!(offboarded, Err(Error::State { state: OrgState::Active, .. })),
        "{offboarded:?}"
    );
    assert_eq!(state(&isolation, &acme).await?, Some(OrgState::Active));

    assert!(isolation.offboard(&acme).await?.is_complete());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn resuming_does_not_bring_back_what_was_offboarded() -> TestResult {
    let config = bed::layers(&["database", "cache"]).await?;
    let isolation = Isolation::connect(&config).await?;
    let [acme] = bed::onboard(&isolation, ["acme"]).await?;
    isolation.suspend(&acme).await?;

    let met = met_by(&isolation, ("resuming", LayerName::Cache), async |isolation, org| {
        isolation.offboard(&org).await.expect("a suspended organization is offboarded");
    });
    assert!(met.resume(&acme).await.is_err(), "it was resumed");
    assert_eq!(state(&isolation, &acme).await?, Some(OrgState::Erased));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_back_while_an_organization_is_erased() -> TestResult {
    let config = bed::layers(&["database", "cache"]).await?;
    let isolation = Isolation::connect(&config).await?;
    let [acme] = bed::onboard(&isolation, ["acme"]).await?;

    let met = met_by(&isolation, ("erasing", LayerName::Database), async |isolation, org| {
        for refused in [
            isolation.suspend(&org).await,
            isolation.resume(&org).await,
            isolation.onboard(spec(&org)).await.map(drop),
        ] {
            assert!(
                matches!(refused, Err(Error::State { state: OrgState::Offboarding, .. })),
                "{refused:?}"
            );
        }
    });
    assert!(met.offboard(&acme).await?.is_complete());
    assert_eq!(state(&isolation, &acme).await?, Some(OrgState::Erased));
    Ok(())
}
