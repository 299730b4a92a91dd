//! The attack suite, with every guard standing, and with each taken out.

use std::error::Error;

use cupel_queues::danger;
use cupel_tenant::{Attempt, IsolationLayer, OrgPair, Outcome};
use uuid::Uuid;

use crate::server;

type Tested = Result<(), Box<dyn Error>>;

/// What gets through without the firewall: every raw call, from a client as from an activity.
const RAW_CALLS: [&str; 15] = [
    "cancel a run by its id",
    "count the runs of every organization",
    "describe a run by its id",
    "hide a run from the service by a reserved attribute",
    "list runs by injection into the query",
    "list the other's workers and their hosts",
    "poll the other's queue as a worker",
    "read a run's input from its history",
    "report on the other's worker under its instance key",
    "set the rate limit of the other's queue to zero",
    "signal a run by its id",
    "start a run on the other's queue",
    "take over a run's id, terminating it",
    "terminate a run by its id",
    "terminate a run from an activity",
];

/// What gets through without firewall and fence, besides: what workflow code says.
const WORKFLOW_CODE: [&str; 2] = [
    "signal a run from workflow code",
    "start a child run on the other's queue from workflow code",
];

fn table(attempts: &[Attempt]) -> String {
    let lines = attempts.iter().map(|attempt| {
        let Attempt { attack, outcome, control, evidence, .. } = attempt;
        format!("{outcome:<10} {attack:<60} {evidence:<48} {control:?}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Which attacks leaked in both directions.
fn leaks(attempts: &[Attempt]) -> Vec<&'static str> {
    let leaked = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Leaked);
    let mut names: Vec<_> = leaked.map(|attempt| attempt.attack).collect();
    names.sort_unstable();
    let twice = names.chunk_by(|a, b| a == b).filter(|same| same.len() == 2);
    twice.filter_map(|same| same.first().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_is_blocked_beside_a_control_that_held() -> Tested {
    let queues = server::queues().await?;
    // Once with an id that is a prefix of the other, once with ids alike but for their last digit.
    for pair in [server::prefix_pair()?, OrgPair::canary(Uuid::new_v4())] {
        let attempts = queues.prove(&pair).await?;
        assert!(attempts.iter().all(Attempt::is_blocked), "\n{}", table(&attempts));
        assert_eq!(attempts.len(), 36);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_firewall_every_raw_call_leaks() -> Tested {
    let queues = danger::without_firewall(&server::queues().await?);
    let attempts = queues.prove(&server::prefix_pair()?).await?;
    assert_eq!(leaks(&attempts), RAW_CALLS, "\n{}", table(&attempts));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_the_firewall_still_holds() -> Tested {
    let queues = danger::without_fence(&server::queues().await?);
    let attempts = queues.prove(&server::prefix_pair()?).await?;
    assert!(attempts.iter().all(Attempt::is_blocked), "\n{}", table(&attempts));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_both_workflow_code_leaks_too() -> Tested {
    let queues = danger::without_fence(&danger::without_firewall(&server::queues().await?));
    let attempts = queues.prove(&server::prefix_pair()?).await?;
    let mut expected = [&RAW_CALLS[..], &WORKFLOW_CODE].concat();
    expected.sort_unstable();
    assert_eq!(leaks(&attempts), expected, "\n{}", table(&attempts));
    Ok(())
}
