//! Attacks on the key service, and on what is remembered of it.

use cupel_tenant::{Attempt, Control, IsolationLayer, Observed, OrgId};

use super::tally::{Tally, is_refusal};
use super::{Stage, record};
use crate::envelope::Header;
use crate::provider::{EncryptionContext, KeyAlias};
use crate::{Class, Error, Sealed};

/// The victim's data key is in memory; the attacker names it, in a process that both share.
pub(super) async fn take_from_the_cache(stage: &Stage<'_>) -> Result<Attempt, Error> {
    let control = stage.owner_opens_it().await;
    let (own, own_body) = stage.own_header()?;
    let (foreign, _) = stage.foreign_header()?;
    let foreign_id = Header { data_key: foreign.data_key, ..own.clone() };
    let foreign_key = Header { wrapped: foreign.wrapped.clone(), ..foreign_id.clone() };
    let mut tally = Tally::default();
    tally.note("as it is", stage.attacker.open(record(), &stage.foreign).await);
    for (name, header) in [("by id", foreign_id), ("by id and key", foreign_key)] {
        let named = Sealed::join(header.write()?, &own_body);
        tally.note(name, stage.attacker.open(record(), &named).await);
    }
    let attack = stage.attack("take a foreign data key from the shared cache");
    Ok(attack.conclude(tally.observed(), control))
}

/// Past our own client: what the key service itself refuses.
pub(super) async fn unwrap_directly(stage: &Stage<'_>) -> Result<Attempt, Error> {
    let provider = &stage.keys.inner.provider;
    let (attacker, victim) = (stage.attacker.scope().org_id(), stage.victim.scope().org_id());
    let own_key = stage.keys.key_of(attacker).await?.id;
    let foreign_key = stage.keys.key_of(victim).await?.id;
    let (header, _) = stage.foreign_header()?;
    let bind = stage.keys.inner.guards.bind;
    let bound = |org: &OrgId, class| bind(stage.keys.environment(), org, class, header.data_key);
    let (rightful, own) = (bound(victim, header.class), bound(attacker, header.class));
    let other_class = bound(victim, Class::StagingData);
    let none = EncryptionContext::none();
    let mut tally = Tally::default();
    for (name, key, context) in [
        ("own key", &own_key, &rightful),
        ("own key, own context", &own_key, &own),
        ("own context", &foreign_key, &own),
        ("another class", &foreign_key, &other_class),
        ("no context", &foreign_key, &none),
    ] {
        tally.note(name, provider.unwrap_key(key, context, &header.wrapped).await);
    }
    let control = match provider.unwrap_key(&foreign_key, &rightful, &header.wrapped).await {
        Ok(_) => Control::held("owner unwraps it"),
        Err(error) => Control::failed(format!("owner cannot: {error}")),
    };
    let attack = stage.attack("ask the key service to unwrap a foreign data key");
    Ok(attack.conclude(tally.observed(), control))
}

/// An alias of the attacker's, pointed to the victim's key, and followed as its own. The alias is a
/// second one, so that no organization's own is ever bent.
pub(super) async fn point_an_alias(stage: &Stage<'_>) -> Result<Attempt, Error> {
    let (attacker, victim) = (stage.attacker.scope().org_id(), stage.victim.scope().org_id());
    let foreign_key = stage.keys.key_of(victim).await?.id;
    let stray = KeyAlias::stray(attacker);
    let observed = match stage.keys.admin() {
        Err(error) => Observed::unclear(error.to_string()),
        Ok(admin) => {
            let followed = match admin.point_alias(&stray, &foreign_key).await {
                Ok(()) => stage.keys.owned_key(&stray).await,
                Err(error) => Err(error),
            };
            admin.delete_alias(&stray).await?;
            let mut tally = Tally::default();
            match followed {
                // A refusal that is not about the owner would show nothing.
                Err(error @ (Error::NoKey | Error::Denied { .. })) => {
                    return Ok(stage
                        .attack(POINT)
                        .conclude(Observed::unclear(error.to_string()), own_alias(stage).await));
                }
                followed => tally.note("followed to the foreign key", followed),
            }
            tally.observed()
        }
    };
    Ok(stage.attack(POINT).conclude(observed, own_alias(stage).await))
}

const POINT: &str = "point an own alias to a foreign key";

async fn own_alias(stage: &Stage<'_>) -> Control {
    match stage.keys.owned_key(&KeyAlias::of(stage.victim.scope().org_id())).await {
        Ok(_) => Control::held("owner's alias leads to it"),
        Err(error) => Control::failed(format!("owner's alias does not: {error}")),
    }
}

/// The victim is suspended; its secret is opened in this process, whose caches were warm, and in
/// one that starts with none.
pub(super) async fn use_while_suspended(stage: &Stage<'_>) -> Result<Attempt, Error> {
    let attack = stage.attack("use the key of a suspended organization");
    let victim = stage.victim.scope();
    let before = stage.owner_opens_it().await;
    if let Err(error) = stage.keys.suspend(victim.org_id()).await {
        return Ok(attack.conclude(Observed::unclear(error.to_string()), before));
    }
    let elsewhere = stage.keys.as_another_process().scoped(victim);
    let tries = [
        ("opened here", stage.victim.open(record(), &stage.foreign).await.map(drop)),
        ("sealed here", stage.victim.seal(record(), &stage.secret).await.map(drop)),
        ("opened elsewhere", elsewhere.open(record(), &stage.foreign).await.map(drop)),
        ("sealed elsewhere", elsewhere.seal(record(), &stage.secret).await.map(drop)),
    ];
    let resumed = stage.keys.resume(victim.org_id()).await;
    let mut tally = Tally::default();
    for (name, answer) in tries {
        // Only the key being taken away is this guard; bytes that do not open would be another.
        let answer = match answer {
            Err(error) if is_refusal(&error) && !error.takes_the_key_away() => {
                Err(Error::Service { source: std::sync::Arc::new(error) })
            }
            answer => answer,
        };
        tally.note(name, answer);
    }
    let control = match (before.is_held(), resumed) {
        (true, Ok(())) => stage.owner_opens_it().await,
        (false, _) => before,
        (true, Err(error)) => Control::failed(format!("owner is not resumed: {error}")),
    };
    Ok(attack.conclude(tally.observed(), control))
}
