use std::error::Error as StdError;

use cupel_rediskey::{
    CacheIsolation, Error, InvalidFamily, InvalidKey, MAX_VALUE_LEN, TenantCache, Ttl,
};
use cupel_tenant::{IsolationLayer, LayerErrorKind};
use cupel_testkit::Redis;
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, cmd};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::tenants::{self, Test};

const TTL: Ttl = Ttl::minutes(5);

/// What the documentation of the crate says a user needs.
const RIGHTS: &[&str] = &[
    "ping",
    "unwatch",
    "info",
    "time",
    "scan",
    "eval",
    "exists",
    "get",
    "mget",
    "set",
    "unlink",
    "pexpire",
    "pttl",
    "zadd",
    "zrange",
    "zrem",
    "zremrangebyscore",
];

async fn set_user(
    admin: &mut MultiplexedConnection,
    keys: &str,
    rights: impl Iterator<Item = &&'static str>,
) -> Result<(), Box<dyn StdError>> {
    let mut command = cmd("ACL");
    command.arg("SETUSER").arg("cupel").arg("reset").arg("on").arg(">right").arg(keys);
    for right in rights {
        command.arg(format!("+{right}"));
    }
    Ok(command.query_async(admin).await?)
}

#[tokio::test]
async fn a_user_needs_exactly_the_rights_that_are_documented() -> Test {
    let redis = Redis::start().await?;
    let mut admin = Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    let url = redis.url().replace("redis://", "redis://cupel:right@");

    set_user(&mut admin, "~org:*", RIGHTS.iter()).await?;
    let cache = TenantCache::connect(&url).await?;
    let pair = tenants::pair()?;
    let attempts = cache.prove(&pair).await?;
    assert!(attempts.iter().all(|attempt| attempt.is_blocked()), "{attempts:#?}");
    cache.audit(pair.first()).await?;
    drop(cache);

    for missing in RIGHTS {
        set_user(&mut admin, "~org:*", RIGHTS.iter().filter(|right| *right != missing)).await?;
        match TenantCache::connect(&url).await {
            Err(Error::MissingRight { command, .. }) => {
                assert_eq!(command.to_ascii_lowercase(), *missing);
            }
            other => panic!("without {missing}: {other:?}"),
        }
    }
    set_user(&mut admin, "~other:*", RIGHTS.iter()).await?;
    let refused = TenantCache::connect(&url).await;
    assert!(matches!(refused, Err(Error::MissingRight { .. })), "{refused:?}");

    let keys: u64 = cmd("DBSIZE").query_async(&mut admin).await?;
    for org in [pair.first(), pair.second()] {
        TenantCache::connect(redis.url()).await?.erase(org).await?;
    }
    let left: u64 = cmd("DBSIZE").query_async(&mut admin).await?;
    assert!(keys > 0 && left == 0, "a probe was written");
    redis.stop().await?;
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_and_a_missing_server_are_told_apart() -> Test {
    let redis = Redis::start().await?;
    let mut admin = Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    set_user(&mut admin, "~org:*", RIGHTS.iter()).await?;
    let wrong = redis.url().replace("redis://", "redis://cupel:secret-guess@");
    let refused = TenantCache::connect(&wrong).await.err().ok_or("a wrong password opens")?;
    assert!(matches!(refused, Error::Credentials { .. }), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("secret-guess"));

    let cache = TenantCache::connect(redis.url()).await?;
    let url = redis.url().to_owned();
    let mut off = cmd("ACL");
    off.arg("SETUSER").arg("default").arg("off").query_async::<()>(&mut admin).await?;
    let refused = TenantCache::connect(&url).await;
    assert!(matches!(refused, Err(Error::Credentials { .. })), "{refused:?}");

    redis.stop().await?;
    let gone = TenantCache::connect(&url).await;
    assert!(matches!(gone, Err(Error::Unreachable { .. })), "{gone:?}");
    let gone = cache.health().await.err().ok_or("a stopped server answers")?;
    assert_eq!(gone.kind(), LayerErrorKind::Unreachable);
    Ok(())
}

#[tokio::test]
async fn tls_needs_no_setup_of_the_caller() -> Test {
    // Nobody here speaks TLS, so the handshake fails; a missing provider would panic before.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("rediss://{}", listener.local_addr()?);
    let mut deaf = JoinSet::new();
    deaf.spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
        }
    });
    let refused = TenantCache::connect(&url).await;
    assert!(matches!(refused, Err(Error::Unreachable { .. })), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_not_built_is_refused_before_anything_is_sent() -> Test {
    let nowhere = TenantCache::builder("redis://127.0.0.1:1").isolation(CacheIsolation::Acl);
    let refused = nowhere.connect().await;
    assert!(matches!(refused, Err(Error::NotBuilt { .. })), "{refused:?}");
    let beyond = TenantCache::connect("redis://192.0.2.1").await;
    assert!(matches!(beyond, Err(Error::PlainText)), "{beyond:?}");
    Ok(())
}

#[tokio::test]
async fn a_name_or_value_that_breaks_a_rule_is_refused_and_nothing_written() -> Test {
    let (cache, org) = (tenants::cache().await?, tenants::org());
    let scoped = cache.scoped(&tenants::scope(&org));
    let long = "x".repeat(600);
    let broken = [
        ("", InvalidFamily::Empty),
        ("a:b", InvalidFamily::IllegalByte { offset: 1 }),
        ("*", InvalidFamily::IllegalByte { offset: 0 }),
        ("Schemas", InvalidFamily::IllegalByte { offset: 0 }),
        (&long, InvalidFamily::TooLong { len: 600 }),
    ];
    for (name, expected) in broken {
        let family = scoped.family(name);
        for refused in [
            family.get::<u8>("k").await.map(drop),
            family.set("k", &1, TTL).await,
            family.remove("k").await.map(drop),
            family.invalidate().await,
            scoped.invalidate(name).await,
        ] {
            let Err(Error::InvalidFamily { rule }) = refused else { panic!("{refused:?}") };
            assert_eq!(rule, expected);
        }
    }
    let family = scoped.family("schemas");
    let refused = family.set("", &1, TTL).await;
    assert!(matches!(refused, Err(Error::InvalidKey { rule: InvalidKey::Empty })));
    let refused = scoped.status().set(&long, &1, TTL).await;
    assert!(matches!(refused, Err(Error::InvalidKey { rule: InvalidKey::TooLong { .. } })));
    let refused = family.set("k", &"x".repeat(MAX_VALUE_LEN), TTL).await;
    assert!(matches!(refused, Err(Error::ValueTooLarge { .. })));
    let unnameable = std::collections::BTreeMap::from([(vec![1], 1)]);
    assert!(matches!(family.set("k", &unnameable, TTL).await, Err(Error::Encode { .. })));

    assert!(cache.erase(&org).await?.items().is_empty(), "something was written");
    Ok(())
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_and_is_loaded_anew() -> Test {
    let scoped = tenants::cache().await?.scoped(&tenants::scope(&tenants::org()));
    let family = scoped.family("schemas");
    family.set("k", "text", TTL).await?;
    assert!(matches!(family.get::<u8>("k").await, Err(Error::Decode { .. })));
    assert_eq!(family.get_or_load("k", || async { Ok::<u8, Error>(7) }).await?, 7);
    assert_eq!(family.get("k").await?, Some(7));
    Ok(())
}

#[tokio::test]
async fn a_generation_that_is_none_is_an_error_and_not_a_value() -> Test {
    let (cache, org) = (tenants::cache().await?, tenants::org());
    let mut raw =
        Client::open(Redis::shared().await?.url())?.get_multiplexed_async_connection().await?;
    let key = format!("org:{org}:meta:generation");
    cmd("RPUSH").arg(key).arg("x").query_async::<()>(&mut raw).await?;
    let family = cache.scoped(&tenants::scope(&org)).family("schemas");
    assert!(matches!(family.set("k", &1, TTL).await, Err(Error::Generation)));
    assert_eq!(family.get::<u8>("k").await?, None);
    assert!(cache.erase(&org).await?.is_complete());
    Ok(())
}
