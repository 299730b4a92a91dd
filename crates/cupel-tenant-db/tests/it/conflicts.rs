//! What `run` tries again: a transaction that lost against another, wherever it was told so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cupel_tenant_db::{Error, TenantDb, TenantTx};
use futures::poll;
use sqlx::Executor;
use tokio::sync::{Mutex, Notify};

use crate::bed::{Bed, TestResult, scope};

#[tokio::test]
async fn only_lost_conflicts_are_tried_again_and_not_for_ever() -> TestResult {
    let bed = Bed::with(1).await?;
    let tries = |code: &'static str, lost: usize| {
        let db = bed.db.clone();
        async move {
            let count = Arc::new(AtomicUsize::new(0));
            let seen = Arc::clone(&count);
            let result = raise(&db, code, lost, seen).await;
            (result.is_ok(), count.load(Ordering::SeqCst))
        }
    };
    assert_eq!(tries("40001", 2).await, (true, 3));
    assert_eq!(tries("40P01", 1).await, (true, 2));
    assert_eq!(tries("40001", 99).await, (false, 6));
    assert_eq!(tries("23514", 99).await, (false, 1));
    Ok(())
}

/// Raises `code` in the first `lost` tries.
async fn raise(
    db: &TenantDb,
    code: &'static str,
    lost: usize,
    count: Arc<AtomicUsize>,
) -> Result<(), Box<dyn std::error::Error>> {
    db.run(&scope("acme"), async move |tx| {
        if count.fetch_add(1, Ordering::SeqCst) < lost {
            let raise = format!("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '{code}'; END $$");
            tx.execute(sqlx::AssertSqlSafe(raise)).await?;
        }
        Ok(())
    })
    .await
}

/// Reads all and writes one: of two that do so at a time, one is refused.
async fn skew(tx: &mut TenantTx, id: &'static str) -> Result<(), sqlx::Error> {
    tx.fetch_all("SELECT id FROM pipelines").await?;
    let insert = "INSERT INTO pipelines (org_id, id, name) VALUES ('acme', $1, 'acme')";
    tx.execute(sqlx::query(insert).bind(id)).await?;
    Ok(())
}

/// A database whose transactions are serializable unless told otherwise.
async fn serializable() -> Result<Bed, Box<dyn std::error::Error>> {
    let bed = Bed::start().await?;
    bed.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable',
           current_database()); END $$",
    )
    .await?;
    Ok(bed)
}

#[tokio::test]
async fn a_conflict_that_shows_at_the_commit_is_tried_again() -> TestResult {
    let bed = serializable().await?;
    let db = TenantDb::builder(&bed.app_url).max_connections(2).connect().await?;
    let tries = Tries::default();
    db.run(&scope("acme"), async |tx| tries.of(&db, tx).await).await?;
    assert_eq!(tries.counted(), (2, 2));
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 2);
    Ok(())
}

#[tokio::test]
async fn so_it_is_where_the_commit_opens_the_next_transaction() -> TestResult {
    let bed = serializable().await?;
    let other = TenantDb::connect(&bed.app_url).await?;
    let db = TenantDb::builder(&bed.app_url).max_connections(1).connect().await?;
    let (acme, globex) = (scope("acme"), scope("globex"));
    let tries = Tries::default();
    let next = Mutex::new(Some(Box::pin(db.begin(&globex))));
    let waits = Notify::new();
    let work = async |tx: &mut TenantTx| -> TestResult {
        tries.of(&other, tx).await?;
        if let Some(next) = &mut *next.lock().await {
            assert!(poll!(next).is_pending());
            waits.notify_one();
        }
        Ok(())
    };
    let served = async {
        waits.notified().await;
        let next = next.lock().await.take().ok_or("nobody waits")?;
        next.await?.rollback().await?;
        TestResult::Ok(())
    };
    let (done, served) = tokio::join!(db.run(&acme, work), served);
    done?;
    served?;
    assert_eq!(tries.counted(), (2, 2));
    assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 2);
    Ok(())
}

/// How often work was begun, and how often it came to its end: then no statement was refused.
#[derive(Default)]
struct Tries {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl Tries {
    /// The first time, somebody else does the same on `db` before the commit.
    async fn of(&self, db: &TenantDb, tx: &mut TenantTx) -> TestResult {
        let first = self.begun.fetch_add(1, Ordering::SeqCst) == 0;
        skew(tx, "ours").await?;
        if first {
            let mut theirs = db.begin(&scope("acme")).await?;
            skew(&mut theirs, "theirs").await?;
            theirs.commit().await?;
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn counted(&self) -> (usize, usize) {
        (self.begun.load(Ordering::SeqCst), self.ended.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn another_error_of_the_commit_is_not() -> TestResult {
    let bed = Bed::with(1).await?;
    bed.sql(
        "ALTER TABLE data_products ALTER CONSTRAINT data_products_org_id_library_id_fkey
         DEFERRABLE INITIALLY DEFERRED",
    )
    .await?;
    let begun = AtomicUsize::new(0);
    let refused: Result<(), Error> = bed
        .db
        .run(&scope("acme"), async |tx| {
            begun.fetch_add(1, Ordering::SeqCst);
            let to_nothing = "INSERT INTO data_products (org_id, id, name, library_id) VALUES ('acme', 'p', 'p', 'none')";
            tx.execute(to_nothing).await.map(drop).map_err(|_| Error::NoAdmin)
        })
        .await;
    assert!(matches!(refused, Err(Error::NothingStored { .. })), "{refused:?}");
    assert_eq!(begun.into_inner(), 1);
    Ok(())
}
