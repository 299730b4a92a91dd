//! Attacks by what is done to a whole organization.

use cupel_tenant::{Attempt, Control, Observed};

use super::stage::{SHORT, Seen, Stage};
use crate::Error;
use crate::erase;

const FAMILY: &str = "lifecycle";

pub(super) async fn attack(stage: &Stage) -> Vec<Attempt> {
    vec![
        stage.conclude("have the other organization suspended with the own", suspend(stage).await),
        stage.conclude("have the other organization erased with the own", erased(stage).await),
    ]
}

async fn suspend(stage: &Stage) -> Seen {
    let (attacker, victim) = (stage.attacker.family(FAMILY), stage.victim.family(FAMILY));
    victim.set("in-use", &stage.secret, SHORT).await?;
    stage.cache.mark(stage.attacker_org()).await?;
    let read = victim.get::<String>("in-use").await;
    let own = attacker.get::<String>("in-use").await;
    stage.cache.unmark(stage.attacker_org()).await?;
    let observed = match read {
        Err(Error::Suspended) => Observed::reached("the owner is refused"),
        read => stage.left_to_owner(read?.as_ref()),
    };
    let refused = matches!(own, Err(Error::Suspended));
    Ok((observed, Control::expect(refused, "an own suspension refuses")))
}

async fn erased(stage: &Stage) -> Seen {
    let (attacker, victim) = (stage.attacker.family(FAMILY), stage.victim.family(FAMILY));
    attacker.set("kept", "own", SHORT).await?;
    victim.set("kept", &stage.secret, SHORT).await?;
    let erasure = erase::erase(&stage.cache.server, stage.attacker_org()).await?;
    let read = victim.get("kept").await?;
    let count: u64 = erasure.items().iter().map(|erased| erased.count).sum();
    let held = count > 0 && erasure.is_complete();
    Ok((
        stage.left_to_owner(read.as_ref()),
        Control::expect(held, format!("{count} own keys erased")),
    ))
}
