//! Attacks on cached values.

use cupel_tenant::{Attempt, Control, Observed, TenantScope};

use super::stage::{SHORT, Seen, Stage};
use crate::Error;
use crate::Family;
use crate::key::{Key, Namespace};
use crate::room;
use crate::server::Command;

const FAMILY: &str = "schemas";

pub(super) async fn attack(stage: &Stage) -> Vec<Attempt> {
    vec![
        stage.conclude("read a key of the same name", same_name(stage).await),
        stage.conclude("read a key with the other organization's prefix", prefix(stage).await),
        stage.conclude("leave the organization by the name of a family", family(stage).await),
        stage.conclude("read a workspace of the same name", workspace(stage).await),
        stage.conclude(
            "read the other organization's bytes, copied to an own key",
            copy(stage).await,
        ),
        stage.conclude("overwrite a key of the same name", overwrite(stage).await),
        stage.conclude(
            "remove the other organization's keys with a wildcard",
            wildcard(stage).await,
        ),
        stage.conclude("invalidate the other organization's values", invalidate(stage).await),
    ]
}

fn families(stage: &Stage) -> (Family, Family) {
    (stage.attacker.family(FAMILY), stage.victim.family(FAMILY))
}

async fn same_name(stage: &Stage) -> Seen {
    let (attacker, victim) = families(stage);
    victim.set("same-name", &stage.secret, SHORT).await?;
    let read = attacker.get("same-name").await?;
    let control = victim.get("same-name").await?;
    Ok((stage.read_by_attacker(read.as_ref()), stage.owner_reads(control.as_ref())))
}

async fn prefix(stage: &Stage) -> Seen {
    let (attacker, victim) = families(stage);
    victim.set("crm.contacts", &stage.secret, SHORT).await?;
    let whole = format!("org:{}:cache:{FAMILY}:crm.contacts", stage.victim_org());
    let mut observed = Observed::refused("no such key, however it was spelled");
    for key in [
        whole.clone(),
        format!(":{whole}"),
        format!("../../../{whole}"),
        format!("x\r\n$3\r\nGET\r\n{whole}"),
        format!("x\0{whole}"),
        format!("{{{whole}}}"),
    ] {
        let read = attacker.get(key).await?;
        if let reached @ Observed::Reached(_) = stage.read_by_attacker(read.as_ref()) {
            observed = reached;
        }
    }
    let control = victim.get("crm.contacts").await?;
    Ok((observed, stage.owner_reads(control.as_ref())))
}

async fn family(stage: &Stage) -> Seen {
    let victim = stage.victim.family(FAMILY);
    victim.set("by-family", &stage.secret, SHORT).await?;
    let org = stage.victim_org();
    let mut refused = 0;
    for name in [
        format!("x:../../org:{org}:cache:{FAMILY}"),
        format!("org:{org}:cache:{FAMILY}"),
        format!("{FAMILY}\r\norg:{org}:cache:{FAMILY}"),
        format!("{FAMILY}.{org}"),
        format!("{org}*"),
        String::new(),
        org.to_string(),
    ] {
        match stage.attacker.family(&name).get("by-family").await {
            Err(Error::InvalidFamily { .. }) => refused += 1,
            read => {
                let observed = stage.read_by_attacker(read?.as_ref());
                if matches!(observed, Observed::Reached(_)) {
                    return Ok((observed, Control::failed("not tried")));
                }
            }
        }
    }
    let control = victim.get("by-family").await?;
    let observed = Observed::refused(format!("no value; {refused} of 7 names refused"));
    Ok((observed, stage.owner_reads(control.as_ref())))
}

async fn workspace(stage: &Stage) -> Seen {
    let narrow = |scope: &TenantScope| {
        let scope = scope.clone().narrow_to("analytics".parse().ok()?).ok()?;
        Some(stage.cache.scoped(&scope).family(FAMILY))
    };
    let scopes = (narrow(stage.attacker.scope()), narrow(stage.victim.scope()));
    let (Some(attacker), Some(victim)) = scopes else {
        return Ok((Observed::unclear("there is no workspace"), Control::failed("not tried")));
    };
    victim.set("in-workspace", &stage.secret, SHORT).await?;
    let read = [
        attacker.get("in-workspace").await?,
        stage.attacker.family(FAMILY).get("in-workspace").await?,
    ];
    let control = victim.get("in-workspace").await?;
    Ok((stage.read_by_attacker(read.iter().flatten().next()), stage.owner_reads(control.as_ref())))
}

/// The bytes are copied on the server, as a restore under another name or a confused proxy would, and
/// the generations with them, so that nothing but the binding of the value to its key is in the way.
async fn copy(stage: &Stage) -> Seen {
    let (attacker, victim) = families(stage);
    victim.set("copied", &stage.secret, SHORT).await?;

    let name = |scope, namespace, tail: &str| Key::new(scope, namespace, tail.as_bytes());
    let words = ["generation", "generation:cache", "generation:cache:schemas"];
    let value = [(Namespace::Cache, "schemas:copied")];
    let all = words.map(|word| (Namespace::Meta, word)).into_iter().chain(value);
    for (namespace, tail) in all {
        let from = name(stage.victim.scope(), namespace, tail)?;
        let to = name(stage.attacker.scope(), namespace, tail)?;
        copy_key(stage, &from, &to).await?;
    }
    let read = attacker.get("copied").await?;

    let own = name(stage.victim.scope(), Namespace::Cache, "schemas:copied")?;
    copy_key(stage, &own, &own).await?;
    let control = victim.get("copied").await?;

    // The attacker's generations are its own again.
    for word in words {
        let own = name(stage.attacker.scope(), Namespace::Meta, word)?;
        let set = Command::new("SET").arg(own.as_bytes()).arg(room::nonce());
        stage.cache.server.ask::<()>(&set).await?;
    }
    Ok((stage.read_by_attacker(read.as_ref()), stage.owner_reads(control.as_ref())))
}

async fn copy_key(stage: &Stage, from: &Key, to: &Key) -> Result<(), Error> {
    let server = &stage.cache.server;
    let bytes: Vec<u8> = server.ask(&Command::new("GET").arg(from.as_bytes())).await?;
    let set = Command::new("SET").arg(to.as_bytes()).arg(bytes);
    let set = if to.namespace() == Namespace::Meta { set } else { set.arg("EX").arg(300) };
    server.ask(&set).await
}

async fn overwrite(stage: &Stage) -> Seen {
    let (attacker, victim) = families(stage);
    victim.set("overwritten", &stage.secret, SHORT).await?;
    attacker.set("overwritten", "poison", SHORT).await?;
    let read = victim.get("overwritten").await?;

    victim.set("own", "before", SHORT).await?;
    victim.set("own", &stage.secret, SHORT).await?;
    let control = match victim.get::<String>("own").await? {
        Some(value) if value == stage.secret => Control::held("owner overwrites its own"),
        _ => Control::failed("owner does not read what it wrote last"),
    };
    Ok((stage.left_to_owner(read.as_ref()), control))
}

async fn wildcard(stage: &Stage) -> Seen {
    let (attacker, victim) = families(stage);
    victim.set("kept", &stage.secret, SHORT).await?;
    let org = stage.victim_org();
    for key in ["*".to_owned(), "k?pt".to_owned(), "[a-z]*".to_owned(), format!("*org:{org}:*")] {
        attacker.remove(key).await?;
    }
    for name in ["*", "schem?s", "[a-z]*"] {
        match stage.attacker.invalidate(name).await {
            Ok(()) | Err(Error::InvalidFamily { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    let read = victim.get("kept").await?;
    let removed = victim.remove("kept").await? && victim.get::<String>("kept").await?.is_none();
    Ok((stage.left_to_owner(read.as_ref()), Control::expect(removed, "owner removes it by name")))
}

async fn invalidate(stage: &Stage) -> Seen {
    let (attacker, victim) = families(stage);
    attacker.set("invalidated", "own", SHORT).await?;
    victim.set("invalidated", &stage.secret, SHORT).await?;
    attacker.invalidate().await?;
    stage.attacker.invalidate_all().await?;
    let read = victim.get("invalidated").await?;
    victim.invalidate().await?;
    let gone = victim.get::<String>("invalidated").await?.is_none();
    Ok((stage.left_to_owner(read.as_ref()), Control::expect(gone, "owner invalidates its own")))
}
