//! Attacks by the code of workflows and activities.

use super::side::Stage;
use super::{Concluded, Control, Observed};
use crate::canary::{Task, Told};

pub(super) async fn child(stage: &Stage<'_>) -> Concluded {
    let act = |id: String| Task::StartChild { queue: stage.victim.queue(), id };
    // The id in the victim's space, and what the fence makes of it.
    let id = stage.victim.id("child");
    let fenced = format!("{}/{id}", stage.attacker.org());
    let told = stage.attacker.errand("child-errand", act(id.clone())).await?;
    let (taken, own) = (stage.truth(&id).await?, stage.truth(&fenced).await?);
    let on_victim = own.as_ref().is_some_and(|child| child.queue == stage.victim.queue());
    let seen = match (taken, on_victim, told) {
        (Some(_), _, _) => Observed::reached("a child runs under the victim's id"),
        (None, true, _) => Observed::reached("a child runs on the victim's queue"),
        (None, false, Told::Refused(_)) => Observed::refused("refused: the run was failed"),
        (None, false, Told::Done) if own.is_some() => {
            Observed::refused("refused: the child became the attacker's own")
        }
        (None, false, Told::Done) => Observed::unclear("the child is nowhere"),
    };
    // The owner gets another id where the attack took this one.
    let id = stage.victim.id("own-child");
    let told = stage.victim.errand("child-control", act(id.clone())).await?;
    let there = stage.truth(&id).await?.is_some_and(|child| child.queue == stage.victim.queue());
    let held = there && matches!(told, Told::Done);
    Ok((seen, Control::expect(held, "owner starts a child on its queue")))
}

pub(super) async fn signal(stage: &Stage<'_>) -> Concluded {
    reach(stage, "signal-held", |id| Task::Signal { id }).await
}

pub(super) async fn terminate(stage: &Stage<'_>) -> Concluded {
    reach(stage, "terminate-held", |id| Task::Terminate { id }).await
}

/// An errand that ends the victim's open run, if it gets through.
async fn reach(stage: &Stage<'_>, name: &str, task: fn(String) -> Task) -> Concluded {
    let id = stage.victim.hold(name).await?.to_string();
    let errand = format!("{name}-errand");
    let told = stage.attacker.errand(&errand, task(id.clone())).await?;
    let open = stage.truth(&id).await?.is_some_and(|run| run.status.is_open());
    let seen = match told {
        Told::Done => Observed::reached("the victim's run was reached"),
        Told::Refused(_) if open => Observed::refused("refused: the victim's run goes on"),
        Told::Refused(_) => Observed::reached("the victim's run has ended"),
    };
    let told = stage.victim.errand(&errand, task(id)).await?;
    let held = matches!(told, Told::Done);
    Ok((seen, Control::expect(held, "owner reaches its run from code")))
}
