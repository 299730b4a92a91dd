use std::collections::BTreeSet;
use std::error::Error;

use cupel_tenant::{IsolationLayer, Outcome};

use crate::flawed::{Flaw, Flawed};
use crate::services::{Service, TestResult, keys_on, on_both_services, two_orgs};

on_both_services!(
    every_attack_is_blocked_beside_a_control_that_held,
    the_suite_can_run_twice_and_leaves_both_at_work,
    without_the_context_the_suite_reports_a_leak,
    without_disabling_the_suite_reports_a_leak,
    without_the_owner_of_a_key_the_suite_reports_a_leak,
);

async fn every_attack_is_blocked_beside_a_control_that_held(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let pair = two_orgs(&keys).await?;
    let attempts = keys.prove(&pair).await?;
    assert_eq!(attempts.len(), 18);
    let attacks: BTreeSet<_> = attempts.iter().map(|attempt| attempt.attack).collect();
    assert_eq!(attacks.len(), 9);
    for attempt in attempts {
        assert!(attempt.is_blocked() && attempt.control.is_held(), "{attempt:?}");
    }
    Ok(())
}

async fn the_suite_can_run_twice_and_leaves_both_at_work(service: impl Service) -> TestResult {
    let keys = keys_on(service)?;
    let pair = two_orgs(&keys).await?;
    for _ in 0..2 {
        assert!(keys.prove(&pair).await?.iter().all(|attempt| attempt.is_blocked()));
    }
    for org in [pair.first(), pair.second()] {
        assert_eq!(keys.audit(org).await?, []);
    }
    Ok(())
}

/// The attacks that leak when the live service lacks one guard.
async fn leaks(
    service: impl Service,
    flaw: Flaw,
) -> Result<BTreeSet<&'static str>, Box<dyn Error>> {
    let keys = keys_on(Flawed(service, flaw))?;
    let pair = two_orgs(&keys).await?;
    let attempts = keys.prove(&pair).await?;
    let leaked = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Leaked);
    Ok(leaked.map(|attempt| attempt.attack).collect())
}

async fn without_the_context_the_suite_reports_a_leak(service: impl Service) -> TestResult {
    let leaked = leaks(service, Flaw::ForgetsTheContext).await?;
    assert_eq!(leaked, BTreeSet::from(["ask the key service to unwrap a foreign data key"]));
    Ok(())
}

async fn without_disabling_the_suite_reports_a_leak(service: impl Service) -> TestResult {
    let leaked = leaks(service, Flaw::KeepsKeysEnabled).await?;
    assert_eq!(leaked, BTreeSet::from(["use the key of a suspended organization"]));
    Ok(())
}

async fn without_the_owner_of_a_key_the_suite_reports_a_leak(service: impl Service) -> TestResult {
    let leaked = leaks(service, Flaw::TrustsAliases).await?;
    assert_eq!(leaked, BTreeSet::from(["point an own alias to a foreign key"]));
    Ok(())
}
