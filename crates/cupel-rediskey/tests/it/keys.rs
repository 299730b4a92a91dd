//! What holds for every name.

use cupel_rediskey::{InvalidKey, Key, Namespace};
use cupel_tenant::TenantScope;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const ID: &str = "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?";

fn scope() -> impl Strategy<Value = TenantScope> {
    (ID, option::of(ID)).prop_filter_map("not an id", |(org, workspace)| {
        let scope = TenantScope::org(org.parse().ok()?);
        match workspace {
            Some(workspace) => scope.narrow_to(workspace.parse().ok()?).ok(),
            None => Some(scope),
        }
    })
}

fn namespace() -> impl Strategy<Value = Namespace> {
    prop::sample::select(Namespace::ALL.to_vec())
}

/// Any bytes, and often those that keys are joined and matched with.
fn tail() -> impl Strategy<Value = Vec<u8>> {
    let nasty = prop::sample::select(b":.*?[]{}\\/\r\n\0ao".to_vec());
    vec(prop_oneof![nasty, any::<u8>()], 1..40)
}

proptest! {
    #[test]
    fn a_key_parses_back(scope in scope(), namespace in namespace(), tail in tail()) {
        let key = Key::new(&scope, namespace, &tail).unwrap();
        let parsed = Key::parse(key.as_bytes()).unwrap();
        prop_assert_eq!(parsed.org_id(), scope.org_id());
        prop_assert_eq!(parsed.workspace_id(), scope.workspace_id());
        prop_assert_eq!(parsed.namespace(), namespace);
        prop_assert_eq!(parsed.tail(), &tail[..]);
        prop_assert_eq!(parsed, key);
    }

    #[test]
    fn two_scopes_never_share_a_key(
        one in (scope(), namespace(), tail()),
        other in (scope(), namespace(), tail()),
    ) {
        let name = |(scope, namespace, tail): &(TenantScope, Namespace, Vec<u8>)| {
            Key::new(scope, *namespace, tail).unwrap().as_bytes().to_vec()
        };
        prop_assert_eq!(name(&one) == name(&other), one == other);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in tail()) {
        let mut key = b"org:".to_vec();
        key.extend(bytes);
        if let Ok(parsed) = Key::parse(&key) {
            prop_assert_eq!(parsed.as_bytes(), &key[..]);
        }
    }
}

#[test]
fn what_no_scope_could_have_made_is_no_key() {
    for bytes in [
        "",
        "org",
        "org:acme",
        "org:acme:cache",
        "org::cache:k",
        "org:Acme:cache:k",
        "org:acme.:cache:k",
        "org:acme.a.b:cache:k",
        "org:acme:other:k",
        "ORG:acme:cache:k",
        "org:*:cache:k",
        "org:acme::k",
    ] {
        assert_eq!(Key::parse(bytes.as_bytes()), Err(InvalidKey::Unparsable), "{bytes}");
    }
    assert_eq!(Key::parse(b"org:acme:cache:"), Err(InvalidKey::Empty));
    let long = "k".repeat(Key::MAX_TAIL_LEN + 1);
    let scope = TenantScope::org("acme".parse().unwrap());
    let refused = Key::new(&scope, Namespace::Cache, long.as_bytes());
    assert_eq!(refused, Err(InvalidKey::TooLong { len: Key::MAX_TAIL_LEN + 1 }));
}
