//! Behind a PgBouncer that hands out backends by the transaction.

use cupel_tenant_db::{ContextMode, TenantDb};
use cupel_testkit::{PgBouncer, Postgres};
use sqlx::{Executor, Row};
use tokio::task::JoinSet;

use crate::bed::{Bed, TestResult, assert_isolated, pair, scope, seal_key};

const MODES: [ContextMode; 3] = [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register];

/// The application's database through a pooler with so many backends.
pub(crate) async fn behind(
    bed: &Bed,
    backends: u16,
) -> Result<(PgBouncer, TenantDb), Box<dyn std::error::Error>> {
    let pooler = PgBouncer::in_front_of(Postgres::shared().await?, backends).await?;
    let db = TenantDb::builder(&pooler.to(&bed.app_url)?)
        .admin_url(&bed.admin_url)
        .seal_key(seal_key("k1"))
        .behind_pooler(true)
        .max_connections(8)
        .connect()
        .await?;
    Ok((pooler, db))
}

#[tokio::test]
async fn every_attack_is_blocked_in_every_mode() -> TestResult {
    for mode in MODES {
        let bed = Bed::of(mode, 2).await?;
        let (pooler, db) = behind(&bed, 2).await?;
        let attempts = cupel_tenant::IsolationLayer::prove(&db, &pair()).await?;
        assert_isolated(&attempts);
        pooler.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn clients_that_share_a_backend_read_their_own() -> TestResult {
    for mode in MODES {
        let bed = Bed::of(mode, 2).await?;
        for org in ["acme", "globex", "initech"] {
            bed.pipeline(org, "p").await?;
        }
        let (pooler, db) = behind(&bed, 1).await?;
        let mut running = JoinSet::new();
        for task in 0..6 {
            let db = db.clone();
            running.spawn(async move {
                let org = ["acme", "globex", "initech"][task % 3];
                for _ in 0..25 {
                    let mut tx = db.begin(&scope(org)).await.map_err(|error| error.to_string())?;
                    let names: Vec<String> =
                        sqlx::query_scalar("SELECT name FROM pipelines WHERE id = $1")
                            .bind("p")
                            .fetch_all(&mut tx)
                            .await
                            .map_err(|error| error.to_string())?;
                    assert_eq!(names, [org], "{mode:?}");
                    tx.commit().await.map_err(|error| error.to_string())?;
                    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM pipelines")
                        .fetch_all(&db.scoped(&scope(org)))
                        .await
                        .map_err(|error| error.to_string())?;
                    assert_eq!(names, [org], "{mode:?}, a single read");
                }
                Ok::<_, String>(())
            });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        pooler.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_transaction_leaves_is_cleared_from_the_backend() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    let (pooler, db) = behind(&bed, 1).await?;
    let found =
        "SELECT (SELECT count(*) FROM pg_cursors) + (SELECT count(*) FROM pg_prepared_statements
          WHERE from_sql) + (SELECT count(*) FROM pg_listening_channels())
        + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
        + (SELECT count(*) FROM pg_settings WHERE name = 'search_path' AND source = 'session')";
    for residue in [
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM pipelines",
        "PREPARE p AS SELECT 1",
        "LISTEN gossip",
        "SELECT pg_advisory_lock(7)",
        "SET search_path = pg_temp",
    ] {
        for commit in [true, false] {
            let mut tx = db.begin(&scope("acme")).await?;
            tx.execute(residue).await?;
            if commit {
                tx.commit().await?;
            } else {
                tx.rollback().await?;
            }
            let mut tx = db.begin(&scope("globex")).await?;
            let left: i64 = tx.fetch_one(found).await?.try_get(0)?;
            assert_eq!(left, 0, "{residue}, committed: {commit}");
            tx.rollback().await?;
        }
        // Dropped, and after a statement that failed.
        let mut tx = db.begin(&scope("acme")).await?;
        tx.execute(residue).await?;
        assert!(tx.execute("SELECT 1/0").await.is_err());
        drop(tx);
        let mut tx = db.begin(&scope("globex")).await?;
        let left: i64 = tx.fetch_one(found).await?.try_get(0)?;
        assert_eq!(left, 0, "{residue}, dropped");
        tx.rollback().await?;
    }
    pooler.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_deferred_trigger_still_acts_for_the_organization() -> TestResult {
    let bed = Bed::start().await?;
    bed.sql(
        "CREATE TABLE seen (names bigint);
         GRANT INSERT ON seen TO cupel_app;
         CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO seen SELECT count(*) FROM pipelines; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER look AFTER INSERT ON pipelines DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION look()",
    )
    .await?;
    let (pooler, db) = behind(&bed, 1).await?;
    let mut tx = db.begin(&scope("acme")).await?;
    tx.execute("INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'a', 'a')").await?;
    // Something that has the session cleaned.
    tx.execute("PREPARE p AS SELECT 1").await?;
    tx.commit().await?;
    assert_eq!(bed.number("SELECT sum(names)::bigint FROM seen").await?, 1);
    pooler.stop().await?;
    Ok(())
}
