//! Rows that are handed out as they come, and not loaded before.

use std::time::Duration;

use cupel_tenant_db::{AdminGrant, ContextMode, Error};
use futures::{Stream, TryStreamExt};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::bed::{Bed, TestResult, scope};
use crate::context::two_orgs;

/// How many rows each organization's one becomes: 40 MB, of which the buffers of a socket hold a tenth at most.
const EACH: usize = 50_000;
const MANY: &str = "SELECT repeat(p.name, 200) FROM pipelines p, generate_series(1, 50000)";

/// Takes one row, and sees the server wait for whoever does not take the others; then counts them all.
async fn counted<E: std::error::Error + 'static>(
    bed: &Bed,
    mut rows: impl Stream<Item = Result<String, E>> + Unpin,
) -> Result<usize, Box<dyn std::error::Error>> {
    assert!(rows.try_next().await?.is_some());
    let mut owner = PgConnection::connect(&bed.owner_url).await?;
    let waits = "SELECT count(*) FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event = 'ClientWrite' AND query = $1";
    for _ in 0..500 {
        let waiting: i64 = sqlx::query_scalar(waits).bind(MANY).fetch_one(&mut owner).await?;
        if waiting > 0 {
            let others = rows.try_fold(0, async |n, _| Ok(n + 1)).await?;
            return Ok(others + 1);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("the server does not wait for its reader".into())
}

#[tokio::test]
async fn administration_reads_over_all_organizations_without_loading_them() -> TestResult {
    let bed = two_orgs(ContextMode::Plain).await?;
    let grant = AdminGrant::read_only("alice", "usage report").all_orgs();
    let mut tx = bed.db.admin(&grant).await?;
    let rows = sqlx::query_scalar(MANY).fetch(&mut tx);
    assert_eq!(counted(&bed, rows).await?, 2 * EACH);
    tx.rollback().await?;
    Ok(())
}

#[tokio::test]
async fn a_transaction_and_a_single_read_hand_out_rows_as_they_come() -> TestResult {
    let bed = two_orgs(ContextMode::Plain).await?;
    let mut tx = bed.db.begin(&scope("acme")).await?;
    assert_eq!(counted(&bed, sqlx::query_scalar(MANY).fetch(&mut tx)).await?, EACH);
    tx.commit().await?;
    let acme = bed.db.scoped(&scope("acme"));
    assert_eq!(counted(&bed, sqlx::query_scalar(MANY).fetch(&acme)).await?, EACH);
    // What writes answers once it is stored.
    let mut written =
        sqlx::query_scalar::<_, String>("UPDATE pipelines SET schedule = 'daily' RETURNING name")
            .fetch(&acme);
    assert_eq!(written.try_next().await?.as_deref(), Some("acme"));
    let stored = "SELECT count(*) FROM pipelines WHERE schedule = 'daily'";
    assert_eq!(bed.number(stored).await?, 1);
    Ok(())
}

/// Everything that sqlx does with an executor, on each of ours.
#[tokio::test]
async fn statements_are_prepared_and_described_on_every_executor() -> TestResult {
    let bed = two_orgs(ContextMode::Plain).await?;
    let grant = AdminGrant::read_only("alice", "look").all_orgs();
    let acme = bed.db.scoped(&scope("acme"));
    let mut tenant = bed.db.begin(&scope("acme")).await?;
    let mut admin = bed.db.admin(&grant).await?;
    let sql = || sqlx::SqlStr::from_static("SELECT name FROM pipelines WHERE id <> $1");
    let wrong = || sqlx::SqlStr::from_static("SELECT nothing FROM nowhere");
    macro_rules! assert_works {
        ($executor:expr, $rows:expr) => {
            let described = $executor.describe(sql()).await?;
            assert_eq!(described.columns.len(), 1);
            let statement = $executor.prepare(sql()).await?;
            let query = sqlx::Statement::query(&statement).bind("none");
            assert_eq!(query.fetch_all($executor).await?.len(), $rows);
        };
    }
    assert_works!(&acme, 1);
    assert_works!(&mut tenant, 1);
    assert_works!(&mut admin, 2);
    assert!(acme.prepare(wrong()).await.is_err() && acme.describe(wrong()).await.is_err());
    // What is refused there fails the transaction as anywhere, so that nothing of it is stored.
    tenant
        .execute("INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'lost', 'acme')")
        .await?;
    assert!(tenant.prepare(wrong()).await.is_err());
    assert!(matches!(tenant.commit().await, Err(Error::NothingStored { .. })));
    let mut tenant = bed.db.begin(&scope("acme")).await?;
    assert!(tenant.describe(wrong()).await.is_err());
    assert!(matches!(tenant.commit().await, Err(Error::NothingStored { .. })));
    assert!(admin.prepare(wrong()).await.is_err());
    assert!(matches!(admin.commit().await, Err(Error::NothingStored { .. })));
    let one: i32 = acme.fetch_one("SELECT 1").await?.try_get(0)?;
    assert_eq!(one, 1);
    Ok(())
}
