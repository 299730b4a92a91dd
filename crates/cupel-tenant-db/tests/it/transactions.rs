use std::time::Duration;

use cupel_tenant_db::{Error, IsolationLevel, TxOptions, danger};
use futures::TryStreamExt;
use sqlx::Executor;

use crate::bed::{Bed, TestResult, scope};

#[tokio::test]
async fn a_transaction_is_an_executor() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    bed.pipeline("acme", "b").await?;
    bed.pipeline("globex", "a").await?;
    let mut tx = bed.db.begin(&scope("acme")).await?;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pipelines ORDER BY id").fetch_all(&mut tx).await?;
    assert_eq!(names, ["acme", "acme"]);
    let ids: Vec<(String,)> =
        sqlx::query_as("SELECT id FROM pipelines").fetch(&mut tx).try_collect().await?;
    assert_eq!(ids.len(), 2);
    let mut builder = sqlx::QueryBuilder::new("DELETE FROM pipelines WHERE id = ");
    let deleted = builder.push_bind("a").build().execute(&mut tx).await?;
    assert_eq!(deleted.rows_affected(), 1);
    let copied: Vec<Vec<u8>> =
        tx.copy_out("COPY pipelines (org_id, id) TO STDOUT").await?.try_collect().await?;
    assert_eq!(copied.concat(), b"acme\tb\n");
    let level: String = sqlx::query_scalar("SHOW transaction_isolation")
        .fetch_one(danger::connection(&mut tx))
        .await?;
    assert_eq!(level, "read committed");
    drop(tx);
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_commit_that_stored_nothing_is_an_error() -> TestResult {
    let bed = Bed::with(1).await?;
    let insert = "INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'a', 'a')";
    // A failed statement, noticed by nobody.
    let mut tx = bed.db.begin(&scope("acme")).await?;
    tx.execute(insert).await?;
    assert!(tx.execute("SELECT 1/0").await.is_err());
    let refused = tx.commit().await;
    assert!(matches!(refused, Err(Error::NothingStored { .. })), "{refused:?}");
    // A statement that ended the transaction.
    let mut tx = bed.db.begin(&scope("acme")).await?;
    tx.execute(insert).await?;
    tx.execute("ROLLBACK").await?;
    assert!(matches!(tx.commit().await, Err(Error::NothingStored { .. })));
    // A constraint that is checked at the end.
    bed.sql(
        "ALTER TABLE data_products ALTER CONSTRAINT data_products_org_id_library_id_fkey
         DEFERRABLE INITIALLY DEFERRED",
    )
    .await?;
    let mut tx = bed.db.begin(&scope("acme")).await?;
    tx.execute(
        "INSERT INTO data_products (org_id, id, name, library_id) VALUES ('acme', 'p', 'p', 'none')",
    )
    .await?;
    assert!(matches!(tx.commit().await, Err(Error::NothingStored { .. })));
    // The one connection is none the worse for it.
    bed.pipeline("acme", "a").await?;
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 1);
    Ok(())
}

#[tokio::test]
async fn run_commits_on_ok_and_rolls_back_on_err() -> TestResult {
    let bed = Bed::with(1).await?;
    let insert = "INSERT INTO pipelines (org_id, id, name) VALUES ('acme', $1, 'a')";
    let done: Result<u64, Box<dyn std::error::Error>> = bed
        .db
        .run(&scope("acme"), async |tx| {
            Ok(sqlx::query(insert).bind("kept").execute(&mut *tx).await?.rows_affected())
        })
        .await;
    assert_eq!(done?, 1);
    let undone: Result<(), Box<dyn std::error::Error>> = bed
        .db
        .scoped(&scope("acme"))
        .run(async |tx| {
            sqlx::query(insert).bind("undone").execute(&mut *tx).await?;
            Err("the caller thinks again".into())
        })
        .await;
    assert_eq!(
        undone.map_err(|error| error.to_string()),
        Err("the caller thinks again".to_owned())
    );
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 1);
    Ok(())
}

#[tokio::test]
async fn options_are_the_server_s_to_keep() -> TestResult {
    let bed = Bed::start().await?;
    let mut tx = bed.db.begin_read_only(&scope("acme")).await?;
    let refused =
        tx.execute("INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'a', 'a')").await;
    assert!(refused.is_err(), "a read-only transaction wrote");
    tx.rollback().await?;
    for (level, name) in [
        (IsolationLevel::ReadCommitted, "read committed"),
        (IsolationLevel::RepeatableRead, "repeatable read"),
        (IsolationLevel::Serializable, "serializable"),
    ] {
        let mut tx = bed.db.begin_with(&scope("acme"), TxOptions::new().isolation(level)).await?;
        let found: String =
            sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut tx).await?;
        assert_eq!(found, name);
    }
    let brief = TxOptions::new().statement_timeout(Duration::from_millis(50));
    let mut tx = bed.db.scoped(&scope("acme")).begin_with(brief).await?;
    let ended = tx.execute("SELECT pg_sleep(20)").await;
    let code = ended.err().and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
    assert_eq!(code.as_deref(), Some("57014"));
    // It is gone with the transaction.
    drop(tx);
    let mut tx = bed.db.begin(&scope("acme")).await?;
    let left: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(&mut tx).await?;
    assert_eq!(left, "0");
    Ok(())
}

#[tokio::test]
async fn a_savepoint_undoes_what_is_in_it_and_nothing_before() -> TestResult {
    let bed = Bed::with(1).await?;
    let insert = "INSERT INTO pipelines (org_id, id, name) VALUES ('acme', $1, 'a')";
    let mut tx = bed.db.begin(&scope("acme")).await?;
    sqlx::query(insert).bind("before").execute(&mut tx).await?;
    let kept: Result<(), sqlx::Error> = tx
        .savepoint(async |tx| {
            sqlx::query(insert).bind("kept").execute(&mut *tx).await?;
            let undone = tx
                .savepoint(async |tx| {
                    sqlx::query(insert).bind("undone").execute(&mut *tx).await?;
                    sqlx::query(insert).bind("before").execute(&mut *tx).await
                })
                .await;
            assert!(matches!(undone, Ok(Err(sqlx::Error::Database(_)))), "{undone:?}");
            Ok(())
        })
        .await?;
    kept?;
    tx.commit().await?;
    let stored = "SELECT count(*) FROM pipelines WHERE id IN ('before', 'kept')";
    assert_eq!(bed.number(stored).await?, 2);
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 2);

    // One that is left half-way takes all of it along.
    let mut tx = bed.db.begin(&scope("acme")).await?;
    sqlx::query(insert).bind("with it").execute(&mut tx).await?;
    let half = tokio::time::timeout(
        Duration::from_millis(100),
        tx.savepoint(async |_| {
            std::future::pending::<()>().await;
            Ok::<_, sqlx::Error>(())
        }),
    );
    assert!(half.await.is_err());
    assert!(matches!(tx.commit().await, Err(Error::NothingStored { .. })));
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_statement_that_was_not_heard_to_its_end_is_no_reason_to_believe() -> TestResult {
    let bed = Bed::with(1).await?;
    let insert = "INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'a', 'a')";
    let mut tx = bed.db.begin(&scope("acme")).await?;
    tx.execute(insert).await?;
    // It fails after rows that are enough for the caller.
    let fails = "SELECT 1 / (500 - n) FROM generate_series(1, 1000) n";
    let first = sqlx::query(fails).fetch(&mut tx).try_next().await?;
    assert!(first.is_some());
    assert!(matches!(tx.commit().await, Err(Error::NothingStored { .. })));
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_dead_connection_is_replaced() -> TestResult {
    let bed = Bed::with(3).await?;
    for _ in 0..3 {
        let (a, b, c) = (scope("acme"), scope("acme"), scope("acme"));
        let all = tokio::try_join!(bed.db.begin(&a), bed.db.begin(&b), bed.db.begin(&c))?;
        drop(all);
        bed.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await?;
        bed.pipeline("acme", "again").await?;
        bed.sql("DELETE FROM pipelines").await?;
    }
    Ok(())
}

#[tokio::test]
async fn workspaces_narrow_and_shared_rows_stay_visible() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "p").await?;
    bed.sql(
        "INSERT INTO pipeline_runs (org_id, id, workspace_id, pipeline_id) VALUES
           ('acme', 'shared', NULL, 'p'), ('acme', 'mine', 'eu', 'p'), ('acme', 'other', 'us', 'p');
         INSERT INTO component_libraries (org_id, id, name) VALUES ('acme', 'lib', 'lib')",
    )
    .await?;
    let narrow = scope("acme").narrow_to("eu".parse()?)?;
    let mut tx = bed.db.begin(&narrow).await?;
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id FROM pipeline_runs ORDER BY id").fetch_all(&mut tx).await?;
    assert_eq!(ids, ["mine", "shared"]);
    let touched = tx.execute("UPDATE pipeline_runs SET rows_read = 1").await?;
    assert_eq!(touched.rows_affected(), 1);
    assert_eq!(tx.fetch_all("SELECT 1 FROM component_libraries").await?.len(), 1);
    assert_eq!(tx.execute("DELETE FROM component_libraries").await?.rows_affected(), 0);
    tx.commit().await?;
    for refused in [
        "UPDATE pipeline_runs SET workspace_id = NULL WHERE id = 'mine'",
        "UPDATE pipeline_runs SET workspace_id = 'us' WHERE id = 'mine'",
        "INSERT INTO pipeline_runs (org_id, id, pipeline_id) VALUES ('acme', 'new', 'p')",
        "INSERT INTO component_libraries (org_id, id, name) VALUES ('acme', 'new', 'new')",
    ] {
        let mut tx = bed.db.begin(&narrow).await?;
        assert!(tx.execute(refused).await.is_err(), "{refused}");
    }
    let mut tx = bed.db.begin(&scope("acme")).await?;
    assert_eq!(tx.fetch_all("SELECT 1 FROM pipeline_runs").await?.len(), 3);
    Ok(())
}
