//! Reading on a standby: another pool, the same rules.

use std::time::{Duration, Instant};

use cupel_tenant_db::{ContextMode, Error, TenantDb};
use cupel_testkit::Postgres;
use sqlx::Executor;
use url::Url;

use crate::bed::{Bed, TestResult, scope, seal_key};

#[tokio::test]
async fn a_replica_shows_an_organization_its_own_and_takes_no_writes() -> TestResult {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let bed = Bed::of(mode, 2).await?;
        bed.pipeline("acme", "a").await?;
        bed.pipeline("globex", "g").await?;
        let refused = bed.db.begin_on_replica(&scope("acme")).await;
        assert!(matches!(refused, Err(Error::NoReplica)));
        let standby = Postgres::shared().await?.standby().await?;
        let mut url: Url = bed.app_url.parse()?;
        let port = standby.url().parse::<Url>()?.port();
        url.set_port(port).map_err(|()| "no port")?;
        let db = TenantDb::builder(&bed.app_url)
            .replica_url(url.as_str())
            .seal_key(seal_key("k1"))
            .connect()
            .await?;
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
        let refused = TenantDb::builder(&bed.app_url)
            .replica_url(owner.as_str())
            .seal_key(seal_key("k1"))
            .connect()
            .await;
        assert!(
            matches!(refused, Err(Error::PowerfulRole { which: "replica", .. })),
            "{refused:?}"
        );
        standby.stop().await?;
    }
    Ok(())
}
