use cupel_rediskey::{Error, Ttl};
use cupel_tenant::{IsolationLayer, OrgSpec, Tier};
use cupel_testkit::Redis;
use deadpool_redis::redis::{Client, cmd};

use crate::tenants::{self, Test};

const TTL: Ttl = Ttl::minutes(5);

#[tokio::test]
async fn provisioning_again_changes_nothing() -> Test {
    let (cache, org) = (tenants::cache().await?, tenants::org());
    let spec = OrgSpec::new(org.clone(), Tier::STANDARD);
    let changes = cache.provision(&spec).await?;
    let expected = format!("created org:{org}:meta:generation");
    assert_eq!(changes.iter().collect::<Vec<_>>(), [expected.as_str()]);

    let schemas = cache.scoped(&tenants::scope(&org)).family("schemas");
    schemas.set("k", &1, TTL).await?;
    assert!(cache.provision(&spec).await?.is_empty());
    assert_eq!(schemas.get("k").await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn a_suspended_organization_is_refused_everywhere_and_nobody_else_is() -> Test {
    let (cache, pair) = (tenants::cache().await?, tenants::pair()?);
    let suspended = cache.scoped(&tenants::scope(pair.first()));
    let workspace = cache.scoped(&tenants::workspace(pair.first(), "analytics")?);
    let other = cache.scoped(&tenants::scope(pair.second()));
    let token = suspended.sessions().create("alice", TTL).await?;
    for scoped in [&suspended, &workspace, &other] {
        scoped.family("schemas").set("k", &1, TTL).await?;
    }

    cache.suspend(pair.first()).await?;
    cache.suspend(pair.first()).await?;
    for scoped in [&suspended, &workspace] {
        let (family, status, sessions) =
            (scoped.family("schemas"), scoped.status(), scoped.sessions());
        let load = || async { Ok::<u8, Error>(1) };
        for refused in [
            family.get::<u8>("k").await.map(drop),
            family.set("k", &2, TTL).await,
            family.get_or_load("k", load).await.map(drop),
            family.remove("k").await.map(drop),
            family.invalidate().await,
            scoped.invalidate_all().await,
            status.set("p", &1, TTL).await,
            status.get::<u8>("p").await.map(drop),
            status.list::<u8>().await.map(drop),
            status.remove("p").await.map(drop),
            sessions.create("bob", TTL).await.map(drop),
            sessions.get::<String>(&token).await.map(drop),
            sessions.touch(&token, TTL).await.map(drop),
            sessions.revoke(&token).await.map(drop),
            sessions.revoke_all().await,
        ] {
            assert!(matches!(refused, Err(Error::Suspended)), "{refused:?}");
        }
    }
    assert_eq!(other.family("schemas").get("k").await?, Some(1));

    cache.resume(pair.first()).await?;
    cache.resume(pair.first()).await?;
    // Nothing from before the suspension is served again.
    assert_eq!(suspended.family("schemas").get::<u8>("k").await?, None);
    assert_eq!(suspended.sessions().get::<String>(&token).await?, None);
    suspended.family("schemas").set("k", &2, TTL).await?;
    assert_eq!(suspended.family("schemas").get("k").await?, Some(2));
    Ok(())
}

#[tokio::test]
async fn erasing_takes_everything_of_one_organization_and_nothing_of_another() -> Test {
    let (cache, pair) = (tenants::cache().await?, tenants::pair()?);
    for org in [pair.first(), pair.second()] {
        for scope in [tenants::scope(org), tenants::workspace(org, "corp")?] {
            let scoped = cache.scoped(&scope);
            for n in 0..20 {
                scoped.family("schemas").set(format!("k{n}"), &n, TTL).await?;
            }
            scoped.status().set("nightly", &1, TTL).await?;
            scoped.sessions().create("alice", TTL).await?;
        }
    }
    let client = Client::open(Redis::shared().await?.url())?;
    let mut raw = client.get_multiplexed_async_connection().await?;
    let junk = format!("org:{}:unknown", pair.first());
    cmd("SET").arg(&junk).arg("junk").query_async::<()>(&mut raw).await?;

    let erasure = cache.erase(pair.first()).await?;
    assert!(erasure.is_complete());
    let erased: Vec<_> = erasure.items().iter().map(ToString::to_string).collect();
    assert_eq!(erased[0], "40 cache keys");
    assert!(erased.contains(&"1 other keys".to_owned()), "{erased:?}");
    for scope in [tenants::scope(pair.second()), tenants::workspace(pair.second(), "corp")?] {
        let scoped = cache.scoped(&scope);
        for n in 0..20 {
            assert_eq!(scoped.family("schemas").get(format!("k{n}")).await?, Some(n));
        }
        assert_eq!(scoped.status().list::<u8>().await?.len(), 1);
    }
    assert!(cache.erase(pair.first()).await?.items().is_empty());
    Ok(())
}

#[tokio::test]
async fn health_and_audit_say_what_the_server_is() -> Test {
    let redis = Redis::start().await?;
    let cache = cupel_rediskey::TenantCache::connect(redis.url()).await?;
    let health = cache.health().await?;
    assert_eq!(health.product, "Redis");
    assert!(health.version.split('.').count() >= 3, "{}", health.version);
    assert!(!health.endpoint.contains('@'));

    let org = tenants::org();
    let rules = |findings: Vec<cupel_tenant::Finding>| -> Vec<&'static str> {
        findings.iter().map(|finding| finding.rule).filter(|rule| *rule != "R2").collect()
    };
    assert!(rules(cache.audit(&org).await?).is_empty());

    let mut raw = Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    let set = |name, value| {
        let mut config = cmd("CONFIG");
        config.arg("SET").arg(name).arg(value);
        config
    };
    set("maxmemory", "512mb").query_async::<()>(&mut raw).await?;
    set("maxmemory-policy", "allkeys-lru").query_async::<()>(&mut raw).await?;
    let forever = format!("org:{org}:cache:schemas:forever");
    cmd("SET").arg(forever).arg("v").query_async::<()>(&mut raw).await?;
    assert_eq!(rules(cache.audit(&org).await?), ["R3", "R4"]);
    redis.stop().await?;
    Ok(())
}
