use std::time::Duration;

use cupel_rediskey::{SessionToken, Ttl};
use cupel_testkit::Redis;
use deadpool_redis::redis::{Client, cmd};
use serde::{Deserialize, Serialize};

use crate::tenants::{self, Test};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Schema {
    columns: Vec<String>,
}

#[tokio::test]
async fn a_family_keeps_values_of_any_type() -> Test {
    let scoped = tenants::cache().await?.scoped(&tenants::scope(&tenants::org()));
    let schemas = scoped.family("schemas");
    let schema = Schema { columns: vec!["id".to_owned(), "größe".to_owned()] };

    assert_eq!(schemas.get::<Schema>("crm.contacts").await?, None);
    schemas.set("crm.contacts", &schema, Ttl::minutes(10)).await?;
    assert_eq!(schemas.get("crm.contacts").await?, Some(schema));
    assert_eq!(scoped.family("other").get::<Schema>("crm.contacts").await?, None);
    assert!(schemas.remove("crm.contacts").await?);
    assert!(!schemas.remove("crm.contacts").await?);
    Ok(())
}

#[tokio::test]
async fn a_value_is_loaded_once_and_then_kept() -> Test {
    let scoped = tenants::cache().await?.scoped(&tenants::scope(&tenants::org()));
    let schemas = scoped.family("schemas").living(Ttl::hours(1));
    let load = || async { Ok::<_, std::io::Error>("loaded".to_owned()) };
    assert_eq!(schemas.get_or_load("k", load).await?, "loaded");
    let fail = || async { Err::<String, _>(std::io::Error::other("must not be called")) };
    assert_eq!(schemas.get_or_load("k", fail).await?, "loaded");

    let failed = schemas.get_or_load("other", fail).await;
    assert!(matches!(failed, Err(cupel_rediskey::Error::Load { .. })));
    assert_eq!(schemas.get::<String>("other").await?, None);
    Ok(())
}

#[tokio::test]
async fn live_pipelines_are_listed_until_they_fall_silent() -> Test {
    let status = tenants::cache().await?.scoped(&tenants::scope(&tenants::org())).status();
    assert!(status.list::<u32>().await?.is_empty());
    status.set("nightly", &1, Ttl::minutes(2)).await?;
    status.set("hourly", &2, Ttl::minutes(1)).await?;
    let soon = Ttl::try_from(Duration::from_millis(1))?;
    status.set("gone", &3, soon).await?;

    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while status.get::<u32>("gone").await?.is_some() {
        assert!(tokio::time::Instant::now() < deadline, "the status outlives its time");
    }
    let listed = status.list::<u32>().await?;
    assert_eq!(listed, [("hourly".to_owned(), 2), ("nightly".to_owned(), 1)]);

    assert!(status.remove("hourly").await?);
    assert_eq!(status.list::<u32>().await?, [("nightly".to_owned(), 1)]);
    Ok(())
}

#[tokio::test]
async fn a_session_lives_from_create_to_revoke() -> Test {
    let sessions = tenants::cache().await?.scoped(&tenants::scope(&tenants::org())).sessions();
    let (alice, bob) = (
        sessions.create("alice", Ttl::hours(8)).await?,
        sessions.create("bob", Ttl::hours(8)).await?,
    );
    let from_cookie: SessionToken = alice.expose().parse()?;
    assert_eq!(sessions.get(&from_cookie).await?, Some("alice".to_owned()));
    assert!(sessions.touch(&alice, Ttl::hours(9)).await?);

    assert!(sessions.revoke(&alice).await?);
    assert_eq!(sessions.get::<String>(&alice).await?, None);
    assert!(!sessions.touch(&alice, Ttl::hours(9)).await?);
    assert_eq!(sessions.get(&bob).await?, Some("bob".to_owned()));

    sessions.revoke_all().await?;
    assert_eq!(sessions.get::<String>(&bob).await?, None);
    assert!(!sessions.touch(&bob, Ttl::hours(9)).await?);
    Ok(())
}

#[tokio::test]
async fn the_server_never_sees_a_token_and_everything_it_keeps_has_an_end() -> Test {
    let org = tenants::org();
    let scoped = tenants::cache().await?.scoped(&tenants::scope(&org));
    let token = scoped.sessions().create("alice", Ttl::hours(8)).await?.expose();
    scoped.status().set("nightly", &1, Ttl::minutes(1)).await?;
    scoped.family("schemas").set("k", &1, Ttl::minutes(1)).await?;

    let client = Client::open(Redis::shared().await?.url())?;
    let mut raw = client.get_multiplexed_async_connection().await?;
    let keys: Vec<String> = cmd("KEYS").arg(format!("org:{org}:*")).query_async(&mut raw).await?;
    assert!(keys.len() >= 3);
    for key in keys {
        assert!(!key.contains(&token));
        let ttl: i64 = cmd("TTL").arg(&key).query_async(&mut raw).await?;
        assert_eq!(ttl == -1, key.contains(":meta:generation"), "{key} lives for {ttl} s");
    }
    Ok(())
}

#[tokio::test]
async fn workspaces_are_apart_from_each_other_and_from_their_organization() -> Test {
    let (cache, org) = (tenants::cache().await?, tenants::org());
    let scopes = [
        tenants::scope(&org),
        tenants::workspace(&org, "analytics")?,
        tenants::workspace(&org, "finance")?,
    ];
    for (n, scope) in scopes.iter().enumerate() {
        let scoped = cache.scoped(scope);
        scoped.family("schemas").set("k", &n, Ttl::minutes(1)).await?;
        scoped.status().set("nightly", &n, Ttl::minutes(1)).await?;
    }
    for (n, scope) in scopes.iter().enumerate() {
        let scoped = cache.scoped(scope);
        assert_eq!(scoped.family("schemas").get("k").await?, Some(n));
        assert_eq!(scoped.status().list().await?, [("nightly".to_owned(), n)]);
    }
    let token = cache.scoped(&scopes[1]).sessions().create("alice", Ttl::minutes(1)).await?;
    for other in [&scopes[0], &scopes[2]] {
        assert_eq!(cache.scoped(other).sessions().get::<String>(&token).await?, None);
    }
    Ok(())
}
