//! Attacks on sessions.

use cupel_tenant::{Attempt, Control, Observed};

use super::stage::{SHORT, Seen, Stage};
use crate::sessions;

pub(super) async fn attack(stage: &Stage) -> Vec<Attempt> {
    vec![
        stage.conclude("use the other organization's session token", use_token(stage).await),
        stage.conclude("use the stored name of a session as its token", stored_name(stage).await),
        stage.conclude("end the other organization's sessions", end(stage).await),
    ]
}

async fn use_token(stage: &Stage) -> Seen {
    let token = stage.victim.sessions().create(&stage.secret, SHORT).await?;
    let attacker = stage.attacker.sessions();
    let read = attacker.get(&token).await?;
    let touched = attacker.touch(&token, SHORT).await?;
    let observed = match stage.read_by_attacker(read.as_ref()) {
        Observed::Refused(_) if touched => Observed::reached("prolongs the owner's session"),
        Observed::Refused(_) => Observed::refused("no such session"),
        other => other,
    };
    let control = stage.victim.sessions().get(&token).await?;
    Ok((observed, stage.owner_reads(control.as_ref())))
}

/// What a dump of the server shows is the name that a session is stored under.
async fn stored_name(stage: &Stage) -> Seen {
    let token = stage.victim.sessions().create(&stage.secret, SHORT).await?;
    let Ok(seen_in_dump) = sessions::stored_name(&token).parse() else {
        let observed = Observed::refused("the stored name does not have the form of a token");
        return Ok((observed, Control::failed("not tried")));
    };
    let read = [
        stage.victim.sessions().get(&seen_in_dump).await?,
        stage.attacker.sessions().get(&seen_in_dump).await?,
    ];
    let observed = match stage.read_by_attacker(read.iter().flatten().next()) {
        Observed::Refused(_) => Observed::refused("no such session"),
        other => other,
    };
    let control = stage.victim.sessions().get(&token).await?;
    Ok((observed, stage.owner_reads(control.as_ref())))
}

async fn end(stage: &Stage) -> Seen {
    let (attacker, victim) = (stage.attacker.sessions(), stage.victim.sessions());
    let token = victim.create(&stage.secret, SHORT).await?;
    attacker.revoke(&token).await?;
    attacker.revoke_all().await?;
    let read = victim.get(&token).await?;
    let observed = match stage.left_to_owner(read.as_ref()) {
        Observed::Refused(_) => Observed::refused("the owner's session goes on"),
        _ => Observed::reached("the owner's session has ended"),
    };
    let ended = victim.revoke(&token).await? && victim.get::<String>(&token).await?.is_none();
    Ok((observed, Control::expect(ended, "owner ends it")))
}
