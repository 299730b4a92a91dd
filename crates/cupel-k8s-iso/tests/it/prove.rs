use cupel_tenant::IsolationLayer;

use crate::bed::{Outcomes, cluster, offboard, onboard, pair, shared};
use crate::without::ALL;

/// The API server writes this label itself; there is nothing to take out.
const NEVER: [&str; 1] = ["take the name of the other's namespace"];

#[tokio::test]
async fn every_attack_is_blocked_and_every_control_holds() -> Outcomes {
    let _shared = shared().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;

    let attempts = cluster.prove(&pair).await?;
    for attempt in &attempts {
        assert!(attempt.is_blocked() && attempt.control.is_held(), "{attempt:#?}");
    }
    let mut names: Vec<_> = attempts.iter().map(|attempt| attempt.attack).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(attempts.len(), 2 * names.len(), "each attack goes both ways");

    // Each has been seen to leak, or says why it cannot be.
    let mut seen: Vec<_> = ALL.into_iter().flatten().copied().chain(NEVER).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(names, seen);

    // The attacks left the namespaces as they were.
    assert_eq!(cluster.audit(pair.first()).await?, []);
    assert!(cluster.prove(&pair).await?.iter().all(|attempt| attempt.is_blocked()));
    offboard(&cluster, &pair).await
}
