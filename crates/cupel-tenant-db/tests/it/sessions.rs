//! What SQL leaves in a session does not reach the next borrower of its connection.

use cupel_tenant_db::ContextMode;
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Executor, Row, SqlStr};

use crate::bed::{Bed, TestResult, scope};

#[tokio::test]
async fn a_connection_with_residue_is_closed_and_a_clean_one_is_kept() -> TestResult {
    let bed = Bed::with(1).await?;
    for (residue, kept) in [
        ("SELECT 1", true),
        ("SET LOCAL app.current_org_id = 'globex'", true),
        ("SELECT 1/0", true),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", false),
        ("PREPARE p AS SELECT 1", false),
        ("LISTEN gossip", false),
        ("SELECT pg_advisory_lock(7)", false),
        ("SELECT pg_advisory_xact_lock(7)", true),
        ("COPY (SELECT pg_advisory_lock(7)) TO STDOUT", false),
        ("SELECT 1; SELECT 2", true),
        ("DEALLOCATE ALL; PREPARE sqlx_s_1 AS SELECT 2", false),
    ] {
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let before: i32 = pid(&mut tx).await?;
        let failed = if residue.starts_with("COPY") {
            tx.copy_out(residue).await?.try_collect::<Vec<_>>().await.is_err()
        } else {
            tx.execute(residue).await.is_err()
        };
        if failed {
            drop(tx);
        } else {
            tx.commit().await?;
        }
        let mut tx = bed.db.begin(&scope("acme")).await?;
        let after: i32 = pid(&mut tx).await?;
        assert_eq!(before == after, kept, "{residue}");
        tx.rollback().await?;
    }
    Ok(())
}

/// To describe a statement the server plans it, and runs whatever says of itself that it changes nothing.
#[tokio::test]
async fn what_is_described_leaves_nothing_either() -> TestResult {
    let bed = Bed::with(1).await?;
    bed.sql(
        "CREATE FUNCTION sneaky() RETURNS int IMMUTABLE LANGUAGE plpgsql
           AS $$ BEGIN PERFORM pg_advisory_lock(7); RETURN 1; END $$",
    )
    .await?;
    let held =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    let mut tx = bed.db.begin(&scope("acme")).await?;
    tx.describe(SqlStr::from_static("SELECT sneaky()")).await?;
    assert_eq!(tx.fetch_one(held).await?.try_get::<i64, _>(0)?, 1, "it is run");
    tx.commit().await?;
    let mut tx = bed.db.begin(&scope("globex")).await?;
    assert_eq!(tx.fetch_one(held).await?.try_get::<i64, _>(0)?, 0);
    tx.rollback().await?;
    Ok(())
}

/// By the simple protocol, which needs no statement of its own in the session.
async fn pid(tx: &mut cupel_tenant_db::TenantTx) -> Result<i32, sqlx::Error> {
    tx.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)
}

#[tokio::test]
async fn settings_do_not_outlive_their_borrower() -> TestResult {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let bed = Bed::of(mode, 1).await?;
        for (set, name) in [
            ("SET app.current_org_id = 'globex'", "app.current_org_id"),
            ("SET app.current_workspace_id = 'eu'", "app.current_workspace_id"),
            ("SET app.current_seal = 'v1'", "app.current_seal"),
            ("SET app.anything = 'else'", "app.anything"),
            ("SET search_path = pg_temp", "search_path"),
            ("SET row_security = off", "row_security"),
            ("SET enable_seqscan = off", "enable_seqscan"),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                "default_transaction_read_only",
            ),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION DEFERRABLE", "transaction_deferrable"),
        ] {
            let show = format!("SELECT coalesce(current_setting('{name}', true), '')");
            let value = async || -> Result<String, Box<dyn std::error::Error>> {
                let mut tx = bed.db.begin(&scope("acme")).await?;
                let value = tx.fetch_one(AssertSqlSafe(show.clone())).await?.try_get(0)?;
                tx.rollback().await?;
                Ok(value)
            };
            let before = value().await?;
            let mut tx = bed.db.begin(&scope("acme")).await?;
            let backend = pid(&mut tx).await?;
            tx.execute(set).await?;
            tx.commit().await?;
            let after = value().await?;
            // Of a seal each transaction may have another.
            let is_seal = name == "app.current_seal" && mode == ContextMode::Sealed;
            assert!(after == before || is_seal && after != "v1", "{mode:?}: {set}: {after}");
            let mut tx = bed.db.begin(&scope("acme")).await?;
            assert_eq!(pid(&mut tx).await?, backend, "{set}");
            tx.rollback().await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn temporary_tables_are_refused() -> TestResult {
    let bed = Bed::with(1).await?;
    let mut tx = bed.db.begin(&scope("acme")).await?;
    assert!(tx.execute("CREATE TEMPORARY TABLE pipelines (id text)").await.is_err());
    Ok(())
}

/// Sessions stay bound to whom they served, so that another organization would rather have a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_never_holds_more_sessions_than_it_may() -> TestResult {
    let bed = Bed::of(ContextMode::Register, 4).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32 {
        let db = bed.db.clone();
        tasks.spawn(async move {
            for n in 0..40 {
                let tx = db.begin(&scope(&format!("org-{}", task * 40 + n))).await?;
                tx.rollback().await?;
            }
            Ok::<_, cupel_tenant_db::Error>(())
        });
    }
    let mut most = 0;
    while !tasks.is_empty() {
        let held = bed
            .number(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND usename = 'cupel_app'",
            )
            .await?;
        most = most.max(held);
        while let Some(done) = tasks.try_join_next() {
            done??;
        }
    }
    assert!((2..=4).contains(&most), "{most}");
    Ok(())
}
