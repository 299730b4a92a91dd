//! The future is dropped at every await point, on a pool of one connection that two organizations
//! share. Whoever borrows it next must find it clean.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use cupel_tenant_db::{ContextMode, TenantDb};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, PgPool, Row};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bed::{Bed, TestResult, scope, seal_key};
use crate::way::by_way;

/// Polls `work` at most `polls` times and then drops it. Returns what came of it, if it finished.
pub(crate) async fn cut_short<F: Future>(work: F, polls: usize) -> Option<F::Output> {
    let mut left = polls;
    let mut work = pin!(work);
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Cuts `work` short after one poll, after two, and so on until it finishes, `rounds` times over, and
/// after each asks `check`. Returns how often the answer was no.
///
/// What `work` says when it finishes counts: an error of its own is one of the test, and so is work that
/// was never cut short.
async fn at_every_await<T, E, W, C>(
    rounds: usize,
    work: impl Fn() -> W,
    check: impl Fn() -> C,
) -> Result<usize, Box<dyn std::error::Error>>
where
    E: Into<Box<dyn std::error::Error>>,
    W: Future<Output = Result<T, E>>,
    C: Future<Output = Result<bool, sqlx::Error>>,
{
    let mut dirty = 0;
    for _ in 0..rounds {
        for polls in 1.. {
            let finished = cut_short(work(), polls).await;
            dirty += usize::from(!check().await?);
            if let Some(output) = finished {
                output.map_err(Into::into)?;
                if polls < 4 {
                    return Err("the work was hardly cut short".into());
                }
                break;
            }
        }
    }
    Ok(dirty)
}

/// What the next borrower of the connection finds: no rows without a context, and no transaction.
async fn is_clean(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let clean = conn
        .fetch_one(
            "SELECT now() = statement_timestamp() AND (SELECT count(*) FROM pipelines) = 0
               AND coalesce(current_setting('app.current_org_id', true), '') = ''",
        )
        .await?
        .try_get(0);
    match clean {
        Ok(clean) => Ok(clean),
        Err(_) => Ok(false),
    }
}

/// The way to the database with a millisecond of delay on the way back, so that no answer is there
/// before it is asked for and every round trip is an await point. Returns the URL that goes this way.
pub(crate) async fn far_away(url: &str) -> Result<String, Box<dyn std::error::Error>> {
    let way = by_way(url, |mut from, mut to| async move {
        let mut bytes = vec![0; 65_536];
        loop {
            let count = from.read(&mut bytes).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            match bytes.get(..count) {
                Some(answer) if count > 0 => to.write_all(answer).await?,
                _ => return Ok(()),
            }
        }
    });
    way.await
}

pub(crate) async fn one_connection(bed: &Bed) -> Result<TenantDb, Box<dyn std::error::Error>> {
    let url = far_away(&bed.app_url).await?;
    Ok(TenantDb::builder(&url).seal_key(seal_key("k1")).max_connections(1).connect().await?)
}

async fn day(db: &TenantDb, org: &str, id: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut tx = db.begin(&scope(org)).await?;
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT org_id FROM pipelines").fetch_all(&mut tx).await?;
    if rows.iter().any(|row| row != org) {
        return Err("rows of another organization".into());
    }
    sqlx::query(
        "INSERT INTO pipelines (org_id, id, name) VALUES ($1, $2, 'n') ON CONFLICT DO NOTHING",
    )
    .bind(org)
    .bind(id)
    .execute(&mut tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing_to_the_next_borrower() -> TestResult {
    for mode in [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register] {
        let bed = Bed::of(mode, 2).await?;
        bed.pipeline("acme", "a").await?;
        bed.pipeline("globex", "a").await?;
        let db = one_connection(&bed).await?;
        // The other organization is the next borrower, through the same one connection.
        let dirty = at_every_await(
            2,
            || day(&db, "acme", "b"),
            || async {
                let asked = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let Ok(mut tx) = db.begin(&scope("globex")).await else { return Ok(false) };
                let rows: Vec<String> =
                    sqlx::query_scalar("SELECT org_id FROM pipelines").fetch_all(&mut tx).await?;
                // A transaction that was left open began before it was asked for.
                let begun: f64 = sqlx::query_scalar("SELECT extract(epoch FROM now())::float8")
                    .fetch_one(&mut tx)
                    .await?;
                let fresh = asked.is_ok_and(|asked| begun >= asked.as_secs_f64());
                Ok(fresh && rows == ["globex"])
            },
        )
        .await?;
        assert_eq!(dirty, 0, "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_dropped_read_leaves_its_session_to_nobody_else() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    bed.pipeline("globex", "a").await?;
    let db = one_connection(&bed).await?;
    let names = "SELECT name FROM pipelines";
    let read = || async {
        // Bound, read, and bound to another.
        for org in ["acme", "initech"] {
            sqlx::query(names).fetch_all(&db.scoped(&scope(org))).await?;
        }
        Ok::<_, sqlx::Error>(())
    };
    let dirty = at_every_await(2, read, || async {
        let read: Vec<String> =
            sqlx::query_scalar(names).fetch_all(&db.scoped(&scope("globex"))).await?;
        let mut tx = db.begin(&scope("globex")).await.map_err(|_| sqlx::Error::PoolClosed)?;
        let in_tx: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut tx).await?;
        Ok(read == ["globex"] && in_tx == ["globex"])
    })
    .await?;
    assert_eq!(dirty, 0);
    Ok(())
}

#[tokio::test]
async fn a_commit_that_was_dropped_stored_all_or_nothing() -> TestResult {
    let bed = Bed::start().await?;
    let db = one_connection(&bed).await?;
    let write = || async {
        let mut tx = db.begin(&scope("acme")).await?;
        for table in ["pipelines", "component_libraries"] {
            let insert = format!(
                "INSERT INTO {table} (org_id, id, name) SELECT 'acme', gen_random_uuid(), 'n'"
            );
            tx.execute(AssertSqlSafe(insert)).await?;
        }
        tx.commit().await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let uneven =
        "SELECT (SELECT count(*) FROM pipelines) = (SELECT count(*) FROM component_libraries)";
    let dirty = at_every_await(2, write, || async {
        let mut tx = db.begin(&scope("acme")).await.map_err(|_| sqlx::Error::PoolClosed)?;
        sqlx::query_scalar(uneven).fetch_one(&mut tx).await
    })
    .await?;
    assert_eq!(dirty, 0);
    assert!(bed.number("SELECT count(*) FROM pipelines").await? >= 2);
    Ok(())
}

/// The harness sees what it is there to see: sqlx's own `begin_with` on a plain pool gives the
/// connection back with the transaction open and the context set.
#[tokio::test]
async fn the_same_harness_catches_a_pool_without_the_protection() -> TestResult {
    let bed = Bed::start().await?;
    bed.pipeline("acme", "a").await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(20))
        .connect(&far_away(&bed.app_url).await?)
        .await?;
    let open = || async {
        let begin = "BEGIN; SET LOCAL app.current_org_id = 'acme'".to_owned();
        let tx = pool.begin_with(AssertSqlSafe(begin)).await?;
        tx.commit().await
    };
    // A leaked transaction makes every later BEGIN fail: that connection is taken away after the look.
    let dirty = at_every_await(2, open, || async {
        let clean = is_clean(&pool).await?;
        if !clean {
            pool.acquire().await?.close().await?;
        }
        Ok(clean)
    })
    .await?;
    assert!(dirty > 0, "sqlx is cancel-safe now: look whether ours is still needed");
    Ok(())
}
