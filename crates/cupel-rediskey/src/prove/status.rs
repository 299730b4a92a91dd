//! Attacks on the status of live pipelines.

use cupel_tenant::{Attempt, Control, Observed};

use super::stage::{SHORT, Seen, Stage};

pub(super) async fn attack(stage: &Stage) -> Vec<Attempt> {
    vec![
        stage.conclude("list the other organization's live pipelines", list(stage).await),
        stage.conclude("read a live pipeline of the same id", read(stage).await),
        stage.conclude("remove a live pipeline of the same id", remove(stage).await),
    ]
}

async fn list(stage: &Stage) -> Seen {
    let (attacker, victim) = (stage.attacker.status(), stage.victim.status());
    for pipeline in ["listed-1", "listed-2", "listed-3"] {
        victim.set(pipeline, &stage.secret, SHORT).await?;
    }
    let secrets = |listed: Vec<(String, String)>| {
        listed.into_iter().filter(|(_, status)| *status == stage.secret).count()
    };
    let seen = secrets(attacker.list().await?);
    let observed = match seen {
        0 => Observed::refused("lists 0 of 3"),
        _ => Observed::reached(format!("lists {seen} of 3")),
    };
    let listed = secrets(victim.list().await?);
    Ok((observed, Control::expect(listed == 3, format!("owner lists {listed}"))))
}

async fn read(stage: &Stage) -> Seen {
    stage.victim.status().set("read", &stage.secret, SHORT).await?;
    let read = stage.attacker.status().get("read").await?;
    let control = stage.victim.status().get("read").await?;
    Ok((stage.read_by_attacker(read.as_ref()), stage.owner_reads(control.as_ref())))
}

async fn remove(stage: &Stage) -> Seen {
    let (attacker, victim) = (stage.attacker.status(), stage.victim.status());
    victim.set("removed", &stage.secret, SHORT).await?;
    attacker.remove("removed").await?;
    let read = victim.get("removed").await?;
    let removed =
        victim.remove("removed").await? && victim.get::<String>("removed").await?.is_none();
    Ok((stage.left_to_owner(read.as_ref()), Control::expect(removed, "owner removes it")))
}
