//! Every guard taken out, one by one, between the client that ships and a real server: the suite must
//! report exactly what that guard was there for.

use std::collections::BTreeSet;

use cupel_rediskey::TenantCache;
use cupel_tenant::{IsolationLayer, Outcome};
use cupel_testkit::Redis;

use crate::liar::{Liar, Without};
use crate::proxy::Proxy;
use crate::tenants::{self, Test};

const COPY: &str = "read the other organization's bytes, copied to an own key";

/// What reaches the other organization's data by name alone.
const DAMAGE: [&str; 6] = [
    "end the other organization's sessions",
    "have the other organization erased with the own",
    "have the other organization suspended with the own",
    "invalidate the other organization's values",
    "overwrite a key of the same name",
    "remove a live pipeline of the same id",
];

/// What is read once neither the name nor the binding is in the way.
const READS: [&str; 6] = [
    "list the other organization's live pipelines",
    "read a key of the same name",
    "read a live pipeline of the same id",
    "read a workspace of the same name",
    "use the other organization's session token",
    COPY,
];

/// Takes guards out, and compares what leaks then.
async fn leaks(without: &[Without], expected: &[&[&'static str]]) -> Test {
    let pair = tenants::pair()?;
    let liar = Liar::new(&pair, without);
    let proxy = Proxy::start(Redis::shared().await?.url(), liar).await?;
    let cache = TenantCache::connect(proxy.url()).await?;
    let attempts = cache.prove(&pair).await?;
    for (attacker, _) in pair.directions() {
        let leaked: BTreeSet<_> = attempts
            .iter()
            .filter(|it| it.attacker == *attacker && it.outcome == Outcome::Leaked)
            .map(|it| it.attack)
            .collect();
        let expected: BTreeSet<_> = expected.iter().copied().flatten().copied().collect();
        assert_eq!(leaked, expected, "{attempts:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_honest_proxy_changes_nothing() -> Test {
    leaks(&[], &[]).await
}

#[tokio::test]
async fn without_the_binding_a_copied_value_is_read() -> Test {
    leaks(&[Without::Binding], &[&[COPY]]).await
}

#[tokio::test]
async fn without_the_prefix_data_is_damaged_and_still_not_read() -> Test {
    leaks(&[Without::Prefix], &[&DAMAGE]).await
}

#[tokio::test]
async fn without_prefix_and_binding_everything_of_the_same_name_is_read() -> Test {
    leaks(&[Without::Prefix, Without::Binding], &[&DAMAGE, &READS]).await
}

#[tokio::test]
async fn without_the_digest_a_stored_name_is_a_token() -> Test {
    let leaked = ["use the stored name of a session as its token", COPY];
    leaks(&[Without::TokenDigest, Without::Binding], &[&leaked]).await
}

#[tokio::test]
async fn where_the_last_prefix_counts_a_key_reaches_the_other_organization() -> Test {
    let leaked = ["read a key with the other organization's prefix"];
    let without = [Without::PrefixFirst, Without::Prefix, Without::Binding];
    leaks(&without, &[&DAMAGE, &READS, &leaked]).await
}

#[tokio::test]
async fn where_families_are_organizations_a_family_reaches_the_other_one() -> Test {
    let leaked = ["leave the organization by the name of a family"];
    let without = [Without::FamilyGrammar, Without::Prefix, Without::Binding];
    leaks(&without, &[&DAMAGE, &READS, &leaked]).await
}

#[tokio::test]
async fn where_names_are_patterns_a_wildcard_removes_the_other_organizations_keys() -> Test {
    let leaked = ["remove the other organization's keys with a wildcard"];
    leaks(&[Without::LiteralNames, Without::Prefix], &[&DAMAGE, &leaked]).await
}
