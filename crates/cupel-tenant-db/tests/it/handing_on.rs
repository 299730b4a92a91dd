//! A commit opens the transaction of whoever waits for the connection.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cupel_tenant::{IsolationLayer, OrgSpec, Tier};
use cupel_tenant_db::{ContextMode, Error, ScopedDb, TenantDb, TenantTx};
use futures::{FutureExt, StreamExt, poll};
use sqlx::{Connection, Executor, PgConnection, Row};

use crate::bed::{Bed, TestResult, org_id, scope, seal_key};
use crate::cancel::{cut_short, one_connection};
use crate::wire::Counted;

const MODES: [ContextMode; 3] = [ContextMode::Plain, ContextMode::Sealed, ContextMode::Register];

/// A key that is checked at the commit, and a row that breaks it.
const DEFERRED: &str =
    "ALTER TABLE pipeline_runs DROP CONSTRAINT pipeline_runs_org_id_pipeline_id_fkey,
       ADD FOREIGN KEY (org_id, pipeline_id) REFERENCES pipelines DEFERRABLE INITIALLY DEFERRED";
const TO_NOTHING: &str =
    "INSERT INTO pipeline_runs (org_id, id, pipeline_id) VALUES ('acme', 'r', 'none')";

/// The organizations of the rows that the transaction sees.
async fn seen(tx: &mut TenantTx) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT org_id FROM pipelines ORDER BY 1").fetch_all(tx).await
}

/// A bed of one connection, with a row of each of two organizations.
async fn bed(mode: ContextMode) -> Result<Bed, Box<dyn std::error::Error>> {
    let bed = Bed::of(mode, 1).await?;
    bed.pipeline("acme", "a").await?;
    bed.pipeline("globex", "g").await?;
    Ok(bed)
}

#[tokio::test]
async fn who_waits_gets_the_session_with_its_own_transaction_open_on_it() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        let way = Counted::new(&bed.app_url).await?;
        let db = TenantDb::builder(&way.url).seal_key(seal_key("k1")).max_connections(1);
        let db = db.connect().await?;
        // Once, so that both are known to be let in.
        for org in ["acme", "globex"] {
            db.begin(&scope(org)).await?.commit().await?;
        }
        let (acme, globex) = (scope("acme"), scope("globex"));
        let mut first = db.begin(&acme).await?;
        assert_eq!(seen(&mut first).await?, ["acme"]);
        first.execute(sqlx::query("INSERT INTO pipelines VALUES ('acme', 'b', 'acme')")).await?;
        let mut waiting = pin!(db.begin(&globex));
        assert!(poll!(waiting.as_mut()).is_pending());
        way.taken();
        first.commit().await?;
        // Without another message.
        let mut second = waiting.now_or_never().ok_or("it waits still")??;
        assert_eq!(way.taken(), 1, "{mode:?}");
        assert_eq!(second.scope(), &globex);
        assert_eq!(seen(&mut second).await?, ["globex"], "{mode:?}");
        second.commit().await?;
        // And it is bound to nobody else after it.
        let mut third = db.begin(&acme).await?;
        assert_eq!(seen(&mut third).await?, ["acme", "acme"], "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_that_fails_opens_nothing_and_who_waits_comes_next() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        bed.sql(DEFERRED).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let mut first = bed.db.begin(&acme).await?;
        first
            .execute(
                "INSERT INTO pipeline_runs (org_id, id, pipeline_id) VALUES ('acme', 'r', 'none')",
            )
            .await?;
        let mut waiting = pin!(bed.db.begin(&globex));
        assert!(poll!(waiting.as_mut()).is_pending());
        let refused = first.commit().await.expect_err("the key is checked at the commit");
        assert!(matches!(refused, Error::NothingStored { .. }), "{refused:?}");
        let mut second = waiting.await?;
        assert_eq!(seen(&mut second).await?, ["globex"], "{mode:?}");
        second.commit().await?;
        assert_eq!(bed.number("SELECT count(*) FROM pipeline_runs").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn after_a_commit_that_fails_the_session_is_bound_to_whom_it_was() -> TestResult {
    for mode in [ContextMode::Sealed, ContextMode::Register] {
        let bed = bed(mode).await?;
        bed.sql(DEFERRED).await?;
        let way = Counted::new(&bed.app_url).await?;
        let db = TenantDb::builder(&way.url).seal_key(seal_key("k1")).max_connections(1);
        let db = db.connect().await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let scoped = db.scoped(&acme);
        let read = async || sqlx::query("SELECT id FROM pipelines").fetch_all(&scoped).await;
        read().await?;
        let mut first = db.begin(&acme).await?;
        first.execute(sqlx::query(TO_NOTHING)).await?;
        {
            let mut waiting = pin!(db.begin(&globex));
            assert!(poll!(waiting.as_mut()).is_pending());
            first.commit().await.expect_err("the key is checked at the commit");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        way.taken();
        assert_eq!(read().await?.len(), 1);
        assert_eq!(way.taken(), 1, "{mode:?}: it did not have to be bound again");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_next_opening_meets_is_not_the_commit_s() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        bed.db.provision(&OrgSpec::new(org_id("globex"), Tier::STANDARD)).await?;
        bed.db.suspend(&org_id("globex")).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let mut first = bed.db.begin(&acme).await?;
        first.execute(sqlx::query("INSERT INTO pipelines VALUES ('acme', 'b', 'acme')")).await?;
        let mut waiting = pin!(bed.db.begin(&globex));
        assert!(poll!(waiting.as_mut()).is_pending());
        // The opening fails on the server.
        bed.sql("REVOKE EXECUTE ON FUNCTION cupel.org_state() FROM cupel_app").await?;
        first.commit().await?;
        assert_eq!(bed.number("SELECT count(*) FROM pipelines WHERE id = 'b'").await?, 1);
        bed.sql("GRANT EXECUTE ON FUNCTION cupel.org_state() TO cupel_app").await?;
        let refused = waiting.await.expect_err("it is suspended");
        assert!(matches!(refused, Error::OrgRefused { .. }), "{mode:?}: {refused:?}");
        let mut third = bed.db.begin(&acme).await?;
        assert_eq!(seen(&mut third).await?, ["acme", "acme"]);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_transaction_left_is_not_handed_on() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let mut first = bed.db.begin(&acme).await?;
        first.execute("DECLARE c CURSOR WITH HOLD FOR SELECT org_id FROM pipelines").await?;
        let mut waiting = pin!(bed.db.begin(&globex));
        assert!(poll!(waiting.as_mut()).is_pending());
        first.commit().await?;
        let mut second = waiting.await?;
        let left =
            second.fetch_all("FETCH ALL FROM c").await.expect_err("it went with its session");
        let code = left.as_database_error().and_then(|it| it.code());
        assert_eq!(code.as_deref(), Some("34000"), "{mode:?}: {left}");
    }
    Ok(())
}

/// PostgreSQL answers the COMMIT of a failed transaction without an error, and would go on with what follows.
#[tokio::test]
async fn a_failed_transaction_is_not_reported_as_stored_because_somebody_waits() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let mut first = bed.db.begin(&acme).await?;
        first.execute(sqlx::query("SELECT 1/0")).await.expect_err("division by zero");
        let mut waiting = pin!(bed.db.begin(&globex));
        assert!(poll!(waiting.as_mut()).is_pending());
        let refused = first.commit().await.expect_err("it failed");
        assert!(matches!(refused, Error::NothingStored { .. }), "{mode:?}: {refused:?}");
        assert_eq!(seen(&mut waiting.await?).await?, ["globex"], "{mode:?}");
    }
    Ok(())
}

/// It is decided as the transaction begins whether the organization is believed, not as it is wanted.
#[tokio::test]
async fn who_waited_for_long_is_asked_for_anew() -> TestResult {
    let bed = bed(ContextMode::Plain).await?;
    bed.db.provision(&OrgSpec::new(org_id("globex"), Tier::STANDARD)).await?;
    let other = TenantDb::builder(&bed.app_url).max_connections(1).connect().await?;
    let (acme, globex) = (scope("acme"), scope("globex"));
    other.begin(&globex).await?.commit().await?;
    let first = other.begin(&acme).await?;
    let mut waiting = pin!(other.begin(&globex));
    assert!(poll!(waiting.as_mut()).is_pending());
    bed.db.suspend(&org_id("globex")).await?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    first.commit().await?;
    let refused = waiting.await.expect_err("it was suspended more than a second ago");
    assert!(matches!(refused, Error::OrgRefused { .. }), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn everybody_comes_in_turn() -> TestResult {
    let bed = bed(ContextMode::Plain).await?;
    let (acme, globex) = (scope("acme"), scope("globex"));
    let first = bed.db.begin(&acme).await?;
    let scoped = bed.db.scoped(&globex);
    let mut read = pin!(sqlx::query("SELECT id FROM pipelines").fetch_one(&scoped));
    let mut transaction = pin!(bed.db.begin(&acme));
    let mut last = pin!(bed.db.begin(&globex));
    assert!(poll!(read.as_mut()).is_pending());
    assert!(poll!(transaction.as_mut()).is_pending());
    assert!(poll!(last.as_mut()).is_pending());
    first.commit().await?;
    assert!(poll!(transaction.as_mut()).is_pending(), "the read came before it");
    let id: String = read.await?.try_get(0)?;
    assert_eq!(id, "g");
    let transaction = transaction.await?;
    assert!(poll!(last.as_mut()).is_pending());
    transaction.commit().await?;
    assert_eq!(seen(&mut last.await?).await?, ["globex"]);
    Ok(())
}

/// Binding a session costs more than waiting in turn is worth, within limits.
#[tokio::test]
async fn whom_the_session_is_bound_to_comes_before_the_first_a_few_times() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let mut open = bed.db.begin(&acme).await?;
        let wanted = [&globex, &acme, &acme, &acme, &acme, &acme, &globex];
        let mut waiting: Vec<_> = wanted.iter().map(|it| bed.db.begin(it).boxed()).collect();
        for it in &mut waiting {
            assert!(poll!(it).is_pending());
        }
        let mut order = String::new();
        while !waiting.is_empty() {
            open.commit().await?;
            let (next, at, rest) = futures::future::select_all(waiting).await;
            (open, waiting) = (next?, rest);
            assert_eq!(seen(&mut open).await?, [open.scope().org_id().as_str()], "{mode:?} {at}");
            order.extend(open.scope().org_id().as_str().chars().next());
        }
        // Where transactions are not bound by their session, everybody comes in turn.
        let expected = if mode == ContextMode::Plain { "gaaaaag" } else { "aaaagga" };
        assert_eq!(order, expected, "{mode:?}");
    }
    Ok(())
}

/// A commit does not look through a line of thousands.
#[tokio::test]
async fn whom_the_session_is_bound_to_is_looked_for_among_the_first() -> TestResult {
    for (before_it, found) in [(63, true), (64, false)] {
        let bed = bed(ContextMode::Register).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let open = bed.db.begin(&acme).await?;
        let wanted = std::iter::repeat_n(&globex, before_it).chain([&acme]);
        let mut waiting: Vec<_> = wanted.map(|it| bed.db.begin(it).boxed()).collect();
        for it in &mut waiting {
            assert!(poll!(it).is_pending());
        }
        open.commit().await?;
        let (next, ..) = futures::future::select_all(waiting).await;
        assert_eq!(next?.scope() == &acme, found, "after {before_it}");
    }
    Ok(())
}

#[tokio::test]
async fn who_reads_what_the_session_is_bound_to_comes_before_the_first_too() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        let way = Counted::new(&bed.app_url).await?;
        let db = TenantDb::builder(&way.url).seal_key(seal_key("k1")).max_connections(1);
        let db = db.connect().await?;
        let (acme, globex) = (db.scoped(&scope("acme")), db.scoped(&scope("globex")));
        let order = Mutex::new(String::new());
        let read = async |of: &ScopedDb| {
            let org: String =
                sqlx::query_scalar("SELECT org_id FROM pipelines").fetch_one(of).await?;
            assert_eq!(org, of.scope().org_id().as_str(), "{mode:?}");
            order.lock().unwrap_or_else(PoisonError::into_inner).extend(org.chars().next());
            Ok::<_, sqlx::Error>(())
        };
        // Once, so that both are known to be let in, and what they read is prepared.
        read(&globex).await?;
        read(&acme).await?;
        let mut first = sqlx::query("SELECT id FROM pipelines, generate_series(1, 9)").fetch(&acme);
        first.next().await.ok_or("no row")??;
        let wanted = [&globex, &acme, &acme, &acme, &acme, &acme, &acme, &globex];
        let mut waiting: Vec<_> = wanted.iter().map(|of| read(of).boxed_local()).collect();
        for it in &mut waiting {
            assert!(poll!(it).is_pending());
        }
        order.lock().unwrap_or_else(PoisonError::into_inner).clear();
        while first.next().await.transpose()?.is_some() {}
        way.taken();
        futures::future::try_join_all(waiting).await?;
        let order = order.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(*order, "aaaaggaa", "{mode:?}");
        // One for each read, and one for each of the two times that the session was bound anew.
        assert_eq!(way.taken(), 10, "{mode:?}");
    }
    Ok(())
}

/// An answer that nobody takes goes back to the pool, or is closed; whoever waits next is served.
#[tokio::test]
async fn a_read_dropped_as_it_is_given_a_session_keeps_nobody_waiting() -> TestResult {
    let bed = bed(ContextMode::Plain).await?;
    let (acme, globex) = (bed.db.scoped(&scope("acme")), bed.db.scoped(&scope("globex")));
    let query = "SELECT org_id FROM pipelines";
    for given_first in [true, false] {
        let mut first = sqlx::query(query).fetch(&acme);
        first.next().await.ok_or("no row")??;
        let mut dropped = Box::pin(sqlx::query(query).fetch_one(&acme));
        assert!(poll!(dropped.as_mut()).is_pending());
        let last = sqlx::query_scalar(query).fetch_one(&globex);
        if given_first {
            assert!(first.next().await.is_none());
            drop(dropped);
        } else {
            drop(dropped);
            assert!(first.next().await.is_none());
        }
        let org: String = tokio::time::timeout(Duration::from_secs(5), last).await??;
        assert_eq!(org, "globex");
    }
    Ok(())
}

#[tokio::test]
async fn who_stops_waiting_leaves_no_transaction_open() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        let first = bed.db.begin(&acme).await?;
        {
            // Handed over, and dropped before it is looked at.
            let mut waiting = pin!(bed.db.begin(&globex));
            assert!(poll!(waiting.as_mut()).is_pending());
            first.commit().await?;
        }
        let mut next = bed.db.begin(&acme).await?;
        assert_eq!(seen(&mut next).await?, ["acme"], "{mode:?}");
        {
            // Gone before the commit.
            let mut waiting = pin!(bed.db.begin(&globex));
            assert!(poll!(waiting.as_mut()).is_pending());
        }
        next.commit().await?;
        let mut owner = PgConnection::connect(&bed.owner_url).await?;
        let in_transaction =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND usename = 'cupel_app' AND state LIKE 'idle in transaction%'";
        let mut open = 1;
        for _ in 0..100 {
            open = owner.fetch_one(in_transaction).await?.try_get::<i64, _>(0)?;
            if open == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(open, 0, "{mode:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_commit_dropped_at_any_await_leaves_who_waits_a_session_of_its_own() -> TestResult {
    for mode in MODES {
        let bed = bed(mode).await?;
        let db = one_connection(&bed).await?;
        let (acme, globex) = (scope("acme"), scope("globex"));
        for polls in 1.. {
            let first = db.begin(&acme).await?;
            let mut waiting = pin!(db.begin(&globex));
            assert!(poll!(waiting.as_mut()).is_pending());
            let committed = cut_short(first.commit(), polls).await;
            let mut second = waiting.await?;
            assert_eq!(seen(&mut second).await?, ["globex"], "{mode:?} after {polls} polls");
            second.rollback().await?;
            if let Some(committed) = committed {
                committed?;
                assert!(polls > 1, "it was never cut short");
                break;
            }
        }
    }
    Ok(())
}
