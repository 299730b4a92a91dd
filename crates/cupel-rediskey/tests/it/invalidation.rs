use cupel_rediskey::Ttl;
use futures::future::try_join_all;

use crate::tenants::{self, Test};

const TTL: Ttl = Ttl::minutes(5);

#[tokio::test]
async fn a_family_is_invalidated_alone_and_the_cache_without_status_and_sessions() -> Test {
    let scoped = tenants::cache().await?.scoped(&tenants::scope(&tenants::org()));
    let (schemas, plans) = (scoped.family("schemas"), scoped.family("plans"));
    schemas.set("k", &1, TTL).await?;
    plans.set("k", &2, TTL).await?;
    scoped.status().set("nightly", &3, TTL).await?;
    let token = scoped.sessions().create(&4, TTL).await?;

    scoped.invalidate("schemas").await?;
    assert_eq!(schemas.get::<u8>("k").await?, None);
    assert_eq!(plans.get("k").await?, Some(2));

    scoped.invalidate_all().await?;
    assert_eq!(plans.get::<u8>("k").await?, None);
    assert_eq!(scoped.status().get("nightly").await?, Some(3));
    assert_eq!(scoped.sessions().get(&token).await?, Some(4));
    Ok(())
}

#[tokio::test]
async fn an_organization_invalidates_its_workspaces_and_none_of_them_another() -> Test {
    let (cache, org) = (tenants::cache().await?, tenants::org());
    let whole = cache.scoped(&tenants::scope(&org));
    let analytics = cache.scoped(&tenants::workspace(&org, "analytics")?);
    let finance = cache.scoped(&tenants::workspace(&org, "finance")?);
    let all = [&whole, &analytics, &finance];
    for scoped in all {
        scoped.family("schemas").set("k", &1, TTL).await?;
    }
    analytics.invalidate("schemas").await?;
    assert_eq!(analytics.family("schemas").get::<u8>("k").await?, None);
    assert_eq!(finance.family("schemas").get("k").await?, Some(1));
    assert_eq!(whole.family("schemas").get("k").await?, Some(1));

    whole.invalidate("schemas").await?;
    for scoped in all {
        assert_eq!(scoped.family("schemas").get::<u8>("k").await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn a_writer_that_an_invalidation_overtook_brings_nothing_back() -> Test {
    let scoped = tenants::cache().await?.scoped(&tenants::scope(&tenants::org()));
    let schemas = scoped.family("schemas");
    // Both with generations that exist already and with such that begin with this load.
    for _ in 0..2 {
        let loaded = schemas
            .get_or_load("k", async || {
                let old = "read before".to_owned();
                schemas.invalidate().await?;
                Ok::<_, cupel_rediskey::Error>(old)
            })
            .await?;
        assert_eq!(loaded, "read before");
        assert_eq!(schemas.get::<String>("k").await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn of_a_thousand_writers_none_brings_back_what_was_invalidated_meanwhile() -> Test {
    let scoped = tenants::cache().await?.scoped(&tenants::scope(&tenants::org()));
    let schemas = scoped.family("schemas");
    schemas.set("0", "old", TTL).await?;
    let (invalidated, wait) = tokio::sync::watch::channel(false);
    let started = tokio::sync::Semaphore::new(0);
    let writers = (0..1000).map(|n| {
        let (schemas, started, mut wait) = (&schemas, &started, wait.clone());
        async move {
            schemas
                .get_or_load(format!("key-{n}"), async || {
                    started.add_permits(1);
                    wait.wait_for(|done| *done).await?;
                    Ok::<_, tokio::sync::watch::error::RecvError>("old".to_owned())
                })
                .await
        }
    });
    let invalidate = async {
        let _all = started.acquire_many(1000).await;
        let done = schemas.invalidate().await;
        invalidated.send_replace(true);
        done
    };
    let (written, done) = tokio::join!(try_join_all(writers), invalidate);
    done?;
    assert_eq!(written?.len(), 1000);
    for n in 0..1000 {
        assert_eq!(schemas.get::<String>(format!("key-{n}")).await?, None);
    }
    Ok(())
}
