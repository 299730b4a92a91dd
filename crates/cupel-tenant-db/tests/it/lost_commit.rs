//! A commit that was done, and of which the answer was lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cupel_tenant_db::{Error, TenantDb};
use sqlx::Executor;
use tokio::io::AsyncWriteExt;

use crate::bed::{Bed, TestResult, scope};
use crate::way::{Message, by_way};

/// What PgBouncer says when it loses the server in the middle of a statement.
const BY_POOLER: &[&str] = &["SFATAL", "C08P01", "Mserver conn crashed?"];
/// What PostgreSQL says to a session that is ended.
const BY_SERVER: &[&str] = &["SFATAL", "VFATAL", "C57P01", "Mterminating connection"];
/// Whatever else ends a session.
const BY_ANYTHING: &[&str] = &["SFATAL", "VFATAL", "CXX000", "Mout of luck"];

/// Returns the way to the database on which, once it is `armed`, the answer to a COMMIT is replaced by an error and
/// nothing comes after it.
async fn losing_commits(
    url: &str,
    error: &'static [&str],
    armed: Arc<AtomicBool>,
) -> Result<String, Box<dyn std::error::Error>> {
    let way = by_way(url, move |mut from, mut to| {
        let armed = Arc::clone(&armed);
        async move {
            loop {
                let message = Message::read(&mut from).await?;
                let is_commit = message.kind == b'C' && message.body.starts_with(b"COMMIT");
                if is_commit && armed.load(Ordering::SeqCst) {
                    let fields = error.iter().flat_map(|field| [field.as_bytes(), &[0]].concat());
                    let body = fields.chain([0]).collect();
                    Message { kind: b'E', body }.write(&mut to).await?;
                    return to.shutdown().await;
                }
                message.write(&mut to).await?;
            }
        }
    });
    way.await
}

#[tokio::test]
async fn it_is_not_said_that_nothing_was_stored() -> TestResult {
    for error in [BY_POOLER, BY_SERVER, BY_ANYTHING] {
        for pooled in [false, true] {
            let bed = Bed::with(1).await?;
            let armed = Arc::new(AtomicBool::new(false));
            let url = losing_commits(&bed.app_url, error, Arc::clone(&armed)).await?;
            let db = TenantDb::builder(&url).behind_pooler(pooled).connect().await?;
            armed.store(true, Ordering::SeqCst);
            let mut tx = db.begin(&scope("acme")).await?;
            let insert = "INSERT INTO pipelines (org_id, id, name) VALUES ('acme', 'a', 'a')";
            tx.execute(sqlx::query(insert)).await?;
            let unknown = tx.commit().await.expect_err("the answer is lost");
            assert!(matches!(unknown, Error::CommitUnknown { .. }), "{error:?}: {unknown:?}");
            assert_eq!(bed.number("SELECT count(*) FROM pipelines").await?, 1, "it is there");
        }
    }
    Ok(())
}
