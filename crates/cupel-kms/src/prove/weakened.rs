//! The suite against keys with a guard of the client's taken out: each must show as leaked.
//!
//! The guards of the key service are taken out in `tests/it`, on the live server.

use cupel_tenant::{IsolationLayer, OrgPair, OrgSpec, Outcome, Tier};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::tenant_keys::Guards;
use crate::{EncryptionContext, KeyAdmin, KeyAlias, KeyProvider, LocalKeyring, TenantKeys, Unlock};

async fn leaks(guards: Guards) -> (TempDir, Vec<&'static str>) {
    leaks_of(guards, false).await
}

/// The attacks that leak; `one_key` puts both organizations on one key.
async fn leaks_of(guards: Guards, one_key: bool) -> (TempDir, Vec<&'static str>) {
    let folder = tempfile::tempdir().unwrap();
    let unlock = Unlock::KeyFile(folder.path().join("key"));
    let keyring = LocalKeyring::open(folder.path().join("keyring"), unlock).await.unwrap();
    let keys =
        TenantKeys::builder(keyring.clone()).production(false).guards(guards).build().unwrap();
    let pair = OrgPair::new("acme".parse().unwrap(), "acme-b".parse().unwrap()).unwrap();
    for org in [pair.first(), pair.second()] {
        keys.provision(&OrgSpec::new(org.clone(), Tier::STANDARD)).await.unwrap();
    }
    if one_key {
        let key = keyring.describe(&KeyAlias::of(pair.first())).await.unwrap().id;
        keyring.point_alias(&KeyAlias::of(pair.second()), &key).await.unwrap();
    }
    let attempts = keys.prove(&pair).await.unwrap();
    let mut leaked: Vec<_> = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Leaked)
        .map(|attempt| attempt.attack)
        .collect();
    leaked.sort_unstable();
    leaked.dedup();
    (folder, leaked)
}

#[tokio::test]
async fn nothing_leaks_with_every_guard_in() {
    assert_eq!(leaks(Guards::default()).await.1, Vec::<&str>::new());
}

#[tokio::test]
async fn without_the_place_a_secret_can_be_moved() {
    let guards = Guards { write_place: |_, _, _| Ok(b"anywhere".to_vec()), ..Guards::default() };
    assert_eq!(leaks(guards).await.1, ["move a secret to another record, field or class"]);
}

#[tokio::test]
async fn without_commitment_and_tag_bytes_can_be_exchanged() {
    let guards = Guards {
        open: |parsed, _, _| Ok(Zeroizing::new(parsed.body.to_vec())),
        ..Guards::default()
    };
    let (_folder, leaked) = leaks(guards).await;
    for attack in [
        "put an own data key into the header of a foreign secret",
        "flip a bit of a sealed secret",
        "cut or extend a sealed secret",
        "move a secret to another record, field or class",
    ] {
        assert!(leaked.contains(&attack), "{attack:?} is not among {leaked:?}");
    }
}

#[tokio::test]
async fn without_the_encryption_context_the_key_service_unwraps_for_anybody() {
    let guards = Guards { bind: |_, _, _, _| EncryptionContext::none(), ..Guards::default() };
    assert_eq!(leaks(guards).await.1, ["ask the key service to unwrap a foreign data key"]);
}

#[tokio::test]
async fn without_the_owner_an_alias_leads_anywhere() {
    let guards = Guards { owns: |_, _| true, ..Guards::default() };
    assert_eq!(leaks(guards).await.1, ["point an own alias to a foreign key"]);
}

#[tokio::test]
async fn one_key_for_all_and_no_binding_opens_everything() {
    let guards = Guards {
        owns: |_, _| true,
        bind: |_, _, _, _| EncryptionContext::none(),
        write_place: |_, _, _| Ok(b"anywhere".to_vec()),
        ..Guards::default()
    };
    let (_folder, leaked) = leaks_of(guards, true).await;
    for attack in [
        "ask the key service to unwrap a foreign data key",
        "open another organization's sealed credential",
        "take a foreign data key from the shared cache",
    ] {
        assert!(leaked.contains(&attack), "{attack:?} is not among {leaked:?}");
    }
}

#[tokio::test]
async fn without_the_purge_a_suspended_organization_is_served() {
    let guards = Guards { purge: false, ..Guards::default() };
    assert_eq!(leaks(guards).await.1, ["use the key of a suspended organization"]);
}
