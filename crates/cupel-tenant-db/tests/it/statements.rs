//! Single statements through a scope, on sessions that stay bound to whom they served last.

use std::time::Duration;

use cupel_tenant::IsolationLayer;
use cupel_tenant_db::{ContextMode, Error, TenantDb};
use futures::TryStreamExt;
use sqlx::{Executor, Row};
use tokio::task::JoinSet;

use crate::bed::{Bed, TestResult, org_id, scope, seal_key};

const MODES: [ContextMode; 3] = [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register];
const NAMES: &str = "SELECT name FROM pipelines ORDER BY name";

async fn three_orgs(
    mode: ContextMode,
    connections: u32,
) -> Result<Bed, Box<dyn std::error::Error>> {
    let bed = Bed::of(mode, connections).await?;
    for org in ["acme", "globex", "initech"] {
        bed.pipeline(org, "p").await?;
    }
    Ok(bed)
}

async fn names(db: &TenantDb, org: &str) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(NAMES).fetch_all(&db.scoped(&scope(org))).await
}

#[tokio::test]
async fn scopes_that_share_connections_read_their_own() -> TestResult {
    for mode in MODES {
        let bed = three_orgs(mode, 2).await?;
        let mut running = JoinSet::new();
        for task in 0..6 {
            let db = bed.db.clone();
            running.spawn(async move {
                let org = ["acme", "globex", "initech"][task % 3];
                for turn in 0..40 {
                    let seen = if (task + turn) % 5 == 0 {
                        let mut tx =
                            db.begin(&scope(org)).await.map_err(|error| error.to_string())?;
                        sqlx::query_scalar(NAMES).fetch_all(&mut tx).await
                    } else {
                        names(&db, org).await
                    };
                    assert_eq!(seen.map_err(|error| error.to_string())?, [org], "{mode:?}");
                }
                Ok::<_, String>(())
            });
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_does_not_inherit_whom_its_session_was_bound_to() -> TestResult {
    for mode in MODES {
        let bed = three_orgs(mode, 1).await?;
        assert_eq!(names(&bed.db, "acme").await?, ["acme"]);
        // Also where its own context is taken away, or the transaction is ended under it.
        for hostile in [
            "RESET app.current_org_id",
            "RESET app.current_seal",
            "COMMIT",
            "ROLLBACK",
            "RESET ALL",
        ] {
            let mut tx = bed.db.begin(&scope("globex")).await?;
            tx.execute(hostile).await?;
            let seen: Vec<String> = sqlx::query_scalar(NAMES).fetch_all(&mut tx).await?;
            assert!(!seen.contains(&"acme".to_owned()), "{mode:?}: {hostile}: {seen:?}");
            drop(tx);
            assert_eq!(names(&bed.db, "acme").await?, ["acme"]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_workspace_is_bound_too() -> TestResult {
    for mode in MODES {
        let bed = three_orgs(mode, 1).await?;
        bed.sql(
            "INSERT INTO pipeline_runs (org_id, id, workspace_id, pipeline_id) VALUES
               ('acme', 'eu', 'eu', 'p'), ('acme', 'us', 'us', 'p')",
        )
        .await?;
        let ids = "SELECT id FROM pipeline_runs ORDER BY id";
        for (workspace, expected) in
            [(Some("eu"), vec!["eu"]), (None, vec!["eu", "us"]), (Some("us"), vec!["us"])]
        {
            let mut scope = scope("acme");
            if let Some(workspace) = workspace {
                scope = scope.narrow_to(workspace.parse()?)?;
            }
            let seen: Vec<String> =
                sqlx::query_scalar(ids).fetch_all(&bed.db.scoped(&scope)).await?;
            assert_eq!(seen, expected, "{mode:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_writes_or_could_leave_something_runs_in_a_transaction() -> TestResult {
    let bed = three_orgs(ContextMode::Plain, 1).await?;
    let acme = bed.db.scoped(&scope("acme"));
    let written = sqlx::query("UPDATE pipelines SET name = $1").bind("new").execute(&acme).await?;
    assert_eq!(written.rows_affected(), 1);
    assert_eq!(bed.number("SELECT count(*) FROM pipelines WHERE name = 'new'").await?, 1);
    // The transaction is over, and stored nothing of the statement that failed.
    assert!(
        acme.execute("INSERT INTO pipelines (org_id, id, name) VALUES ('globex', 'x', 'x')")
            .await
            .is_err()
    );
    assert!(acme.execute("PREPARE p AS SELECT 1").await.is_ok());
    assert!(acme.execute("SET search_path = pg_temp").await.is_ok());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left: i64 = bed
        .db
        .scoped(&scope("globex"))
        .fetch_one(
            "SELECT (SELECT count(*) FROM pg_prepared_statements WHERE from_sql)
            + (SELECT count(*) FROM pg_settings WHERE name = 'search_path' AND source = 'session')",
        )
        .await?
        .try_get(0)?;
    assert_eq!(left, 0);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_dropped_half_way_is_nobody_else_s() -> TestResult {
    let bed = three_orgs(ContextMode::Plain, 1).await?;
    let acme = bed.db.scoped(&scope("acme"));
    for _ in 0..5 {
        let many = "SELECT name FROM pipelines, (VALUES (1), (2), (3)) v (n)";
        let first = sqlx::query(many).fetch(&acme).try_next().await?;
        assert!(first.is_some());
        assert_eq!(names(&bed.db, "globex").await?, ["globex"]);
    }
    // An error after rows is an error, and the session serves on.
    let fails =
        sqlx::query("SELECT 1 / (3 - n) FROM (VALUES (1), (2), (3)) v (n)").fetch_all(&acme).await;
    assert!(fails.is_err());
    assert_eq!(names(&bed.db, "globex").await?, ["globex"]);
    Ok(())
}

#[tokio::test]
async fn a_suspended_organization_is_refused_within_a_second() -> TestResult {
    let bed = three_orgs(ContextMode::Plain, 2).await?;
    let other = TenantDb::builder(&bed.app_url).seal_key(seal_key("k1")).connect().await?;
    assert_eq!(names(&other, "acme").await?, ["acme"]);
    bed.db.suspend(&org_id("acme")).await?;
    let here = names(&bed.db, "acme").await;
    assert!(
        matches!(&here, Err(sqlx::Error::Configuration(error)) if matches!(error.downcast_ref(), Some(Error::OrgRefused { .. }))),
        "{here:?}"
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(names(&other, "acme").await.is_err(), "another process");
    Ok(())
}

#[tokio::test]
async fn a_session_that_died_while_it_waited_is_replaced() -> TestResult {
    let bed = three_orgs(ContextMode::Plain, 2).await?;
    assert_eq!(names(&bed.db, "acme").await?, ["acme"]);
    bed.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename = 'cupel_app'",
    )
    .await?;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(names(&bed.db, "acme").await?, ["acme"]);
    Ok(())
}

#[tokio::test]
async fn a_session_is_bound_anew_before_its_seal_expires() -> TestResult {
    let bed = three_orgs(ContextMode::Sealed, 1).await?;
    let begun = std::time::Instant::now();
    // Longer than a seal lasts, and often enough that the registry is asked in between.
    while begun.elapsed() < Duration::from_secs(12) {
        assert_eq!(names(&bed.db, "acme").await?, ["acme"], "after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
