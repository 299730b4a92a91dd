//! Reading on a standby: another pool, the same rules.

use std::time::{Duration, Instant};

use cupel_tenant_db::{ContextMode, Error, TenantDb};
use cupel_testkit::Postgres;
use sqlx::Executor;
use url::Url;

use crate::bed::{Bed, TestResult, scope, seal_key};

#[tokio::test]
async fn a_replica_shows_an_organization_its_own_and_takes_no_writes() -> TestResult {
    // A server of its own: the standby copies all that there is.
    let server = Postgres::start().await?;
    let standby = server.standby().await?;
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let bed = Bed::at(server.database().await?, mode, 2).await?;
        bed.pipeline("acme", "a").await?;
        bed.pipeline("globex", "g").await?;
        let refused = bed.db.begin_on_replica(&scope("acme")).await;
        assert!(matches!(refused, Err(Error::NoReplica)));
        let mut url: Url = bed.app_url.parse()?;
        let port = standby.url().parse::<Url>()?.port();
        url.set_port(port).map_err(|()| "no port")?;
        let builder = || TenantDb::builder(&bed.app_url).seal_key(seal_key("k1"));
        let deadline = Instant::now() + Duration::from_secs(10);
        // Until the standby has the database.
        let db = loop {
            match builder().replica_url(url.as_str()).connect().await {
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(db) => break db,
            }
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut tx = db.begin_on_replica(&scope("acme")).await?;
            let (standby, names): (bool, Vec<String>) =
                sqlx::query_as("SELECT pg_is_in_recovery(), array_agg(name) FROM pipelines")
                    .fetch_one(&mut tx)
                    .await?;
            assert!(standby);
            if names == ["acme"] {
                assert!(tx.execute("DELETE FROM pipelines").await.is_err());
                break;
            }
            assert!(Instant::now() < deadline, "{mode:?}: {names:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // What a powerful role could do on the primary it could read here.
        let mut owner: Url = standby.url().parse()?;
        owner.set_path(url.path());
        let refused = builder().replica_url(owner.as_str()).connect().await;
        assert!(
            matches!(refused, Err(Error::PowerfulRole { which: "replica", .. })),
            "{refused:?}"
        );
    }
    standby.stop().await?;
    server.stop().await?;
    Ok(())
}
