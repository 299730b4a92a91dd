use std::collections::BTreeSet;

use cupel_tenant::{IsolationLayer, OrgPair};
use uuid::Uuid;

use crate::tenants::{self, Test};

#[tokio::test]
async fn every_attack_is_blocked_beside_a_control_that_held() -> Test {
    let cache = tenants::cache().await?;
    for pair in [tenants::pair()?, OrgPair::canary(Uuid::new_v4())] {
        let attempts = cache.prove(&pair).await?;
        for attempt in &attempts {
            assert!(attempt.is_blocked() && attempt.control.is_held(), "{attempt:#?}");
        }
        let names: BTreeSet<_> = attempts.iter().map(|attempt| attempt.attack).collect();
        assert_eq!(names.len() * 2, attempts.len(), "each attack once in each direction");
        assert_eq!(names.len(), 16);
    }
    assert!(cache.foreign_values() > 0, "the copied value raised no alarm");
    Ok(())
}

#[tokio::test]
async fn a_proof_can_be_run_again_and_leaves_nothing_once_erased() -> Test {
    let cache = tenants::cache().await?;
    let pair = tenants::pair()?;
    for _ in 0..2 {
        assert!(cache.prove(&pair).await?.iter().all(|attempt| attempt.is_blocked()));
    }
    for org in [pair.first(), pair.second()] {
        assert!(cache.erase(org).await?.is_complete());
        assert!(cache.erase(org).await?.items().is_empty());
    }
    Ok(())
}
