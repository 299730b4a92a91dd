//! How long connections are waited for and kept, and how often one is tried to be opened.

use std::error::Error as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cupel_tenant_db::{ContextMode, Error, TenantDb, TenantDbBuilder, TenantTx};
use futures::poll;
use sqlx::{Executor, Row};

use crate::bed::{Bed, TestResult, scope, seal_key};
use crate::way::{Message, by_way};

/// One connection to the bed.
fn alone(bed: &Bed) -> TenantDbBuilder {
    TenantDb::builder(&bed.app_url).seal_key(seal_key("k1")).max_connections(1)
}

async fn pid(mut tx: TenantTx) -> Result<i32, Box<dyn std::error::Error>> {
    let pid = tx.fetch_one("SELECT pg_backend_pid()").await?.try_get(0)?;
    tx.commit().await?;
    Ok(pid)
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_that_all_are_in_use() -> TestResult {
    let bed = Bed::with(1).await?;
    let db = alone(&bed).acquire_timeout(Duration::from_secs(2)).connect().await?;
    let acme = scope("acme");
    let held = db.begin(&acme).await?;
    // Unless told, it waits for 30 seconds.
    let refused = tokio::time::timeout(Duration::from_secs(20), db.begin(&acme)).await?.err();
    assert!(matches!(refused, Some(Error::PoolExhausted { max: 1 })), "{refused:?}");
    let refused = sqlx::query("SELECT 1").execute(&db.scoped(&acme)).await.err();
    assert!(refused.is_some_and(|it| it.to_string().contains("in use")));
    held.rollback().await?;
    db.begin(&acme).await?.commit().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_is_used_for_as_long_as_it_may_be_and_kept_for_as_long() -> TestResult {
    const NOT: Duration = Duration::ZERO;
    for mode in [ContextMode::Plain, ContextMode::Register] {
        let bed = Bed::of(mode, 1).await?;
        for (builder, kept, handed_on) in [
            (alone(&bed), true, true),
            (alone(&bed).max_lifetime(NOT), false, false),
            // Who waits leaves it no time to be idle.
            (alone(&bed).idle_timeout(NOT), false, true),
        ] {
            let shown = format!("{builder:?}");
            let db = builder.connect().await?;
            let (acme, globex) = (scope("acme"), scope("globex"));
            let first = pid(db.begin(&acme).await?).await?;
            let second = pid(db.begin(&acme).await?).await?;
            assert_eq!(first == second, kept, "{shown}");
            let open = db.begin(&acme).await?;
            let mut waiting = pin!(db.begin(&globex));
            assert!(poll!(waiting.as_mut()).is_pending());
            let third = pid(open).await?;
            assert_eq!(third == pid(waiting.await?).await?, handed_on, "{shown}");

            let (read, scoped) = ("SELECT pg_backend_pid()", db.scoped(&acme));
            let open = db.begin(&acme).await?;
            let mut waiting = pin!(sqlx::query_scalar(read).fetch_one(&scoped));
            assert!(poll!(waiting.as_mut()).is_pending());
            let fourth = pid(open).await?;
            let fifth: i32 = waiting.await?;
            // In the plain context a transaction is not bound by its session, which goes by way of the pool.
            let given = handed_on && (kept || mode == ContextMode::Register);
            assert_eq!(fourth == fifth, given, "{shown}");
        }
    }
    Ok(())
}

/// What a way answers to who connects.
const REFUSALS: [&str; 3] = ["57P03", "53300", "53400"];

#[tokio::test]
async fn a_server_that_starts_or_is_full_is_tried_again() -> TestResult {
    let bed = Bed::with(1).await?;
    for code in REFUSALS {
        // How many connections are still refused, and how many there were since.
        let (refusing, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counters = (Arc::clone(&refusing), Arc::clone(&asked));
        let url = by_way(&bed.app_url, move |mut from, mut to| {
            let (refusing, asked) = (Arc::clone(&counters.0), Arc::clone(&counters.1));
            async move {
                asked.fetch_add(1, Ordering::Relaxed);
                let less = |it: usize| it.checked_sub(1);
                if refusing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                    let body = format!("SFATAL\0C{code}\0Mnot now\0\0").into_bytes();
                    return Message { kind: b'E', body }.write(&mut to).await;
                }
                tokio::io::copy(&mut from, &mut to).await.map(drop)
            }
        });
        let db = TenantDb::builder(&url.await?).acquire_timeout(Duration::from_secs(5));
        let db = db.max_connections(3).connect().await?;
        let acme = scope("acme");
        let _held = db.begin(&acme).await?;
        asked.store(0, Ordering::Relaxed);
        refusing.store(3, Ordering::Relaxed);
        let begun = db.begin(&acme).await;
        let tried_again = code != "53400";
        assert_eq!(begun.is_ok(), tried_again, "{code}: {:?}", begun.err());
        assert_eq!(asked.load(Ordering::Relaxed), if tried_again { 4 } else { 1 }, "{code}");
        // Not for ever, and then it is told why.
        refusing.store(usize::MAX, Ordering::Relaxed);
        let refused = tokio::time::timeout(Duration::from_secs(20), db.begin(&acme)).await?.err();
        let told = refused.as_ref().and_then(|it| Some(it.source()?.to_string()));
        assert!(told.is_some_and(|it| it.contains("not now")), "{code}: {refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_longer_than_a_connection() -> TestResult {
    let bed = Bed::with(1).await?;
    let silent = Arc::new(AtomicBool::new(false));
    let is_silent = Arc::clone(&silent);
    let url = by_way(&bed.app_url, move |mut from, mut to| {
        let is_silent = is_silent.load(Ordering::Relaxed);
        async move {
            if is_silent {
                std::future::pending::<()>().await;
            }
            tokio::io::copy(&mut from, &mut to).await.map(drop)
        }
    });
    let db = TenantDb::builder(&url.await?).acquire_timeout(Duration::from_secs(2));
    let db = db.connect().await?;
    let acme = scope("acme");
    let _held = db.begin(&acme).await?;
    silent.store(true, Ordering::Relaxed);
    let refused = tokio::time::timeout(Duration::from_secs(20), db.begin(&acme)).await?.err();
    assert!(matches!(refused, Some(Error::Unreachable { which: "app", .. })), "{refused:?}");
    Ok(())
}
