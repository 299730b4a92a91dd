//! A history of many transactions, under everything that goes wrong: futures dropped at any await, backends
//! killed, the server crashed and the pooler restarted in the middle of it.
//!
//! Whatever happens, no row of another organization is read, nobody is lent a connection with a transaction
//! on it, and what was reported as stored is there, all of it. How many transactions: `HISTORY_TRANSACTIONS`,
//! a few thousand without it; `scripts/soak history` runs a million.

mod dice;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use cupel_tenant_db::{ContextMode, Error, TenantDb};
use cupel_testkit::{PgBouncer, Postgres};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use self::dice::Dice;
use self::trouble::Trouble;
use crate::bed::{SCHEMA, TestResult, as_role, migration, scope, seal_key, sql};
use crate::cancel::cut_short;

const ORGS: [&str; 4] = ["acme", "acme-2", "globex", "initech"];
const CLIENTS: u64 = 6;
/// How many transactions there are beyond those that are wanted, at the most.
const MORE: u64 = 10_000;
/// How many refusals more than transactions mean that the server does not come back.
const REFUSALS: u64 = 100_000;

/// What was said of a transaction, by the id that it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Stored,
    /// It failed, or was dropped in the commit: all of it may be there, or nothing.
    Unknown,
    NotStored,
    /// There was no connection to begin it on.
    NotBegun,
}

#[derive(Default)]
struct History {
    said: Mutex<BTreeMap<(usize, String), Said>>,
    done: AtomicU64,
    cut_short: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    trouble: Trouble,
    over: AtomicBool,
}

impl History {
    /// Counts one more, if there is to be one: so many are wanted, and as long as a kind of trouble has yet to happen
    /// there are more, within limits.
    fn goes_on(&self, wanted: u64) -> bool {
        let done = self.done.fetch_add(1, Ordering::Relaxed);
        self.refused.load(Ordering::Relaxed) < wanted + REFUSALS
            && (done < wanted || done < wanted + MORE && self.trouble.is_missing())
    }

    /// What was not begun does not count, and is tried again as a service would: the server is perhaps on its way up.
    async fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.done.fetch_sub(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One transaction that writes the same id into two tables, and looks around before.
async fn transact(db: &TenantDb, org: &'static str, id: &str) -> Result<Said, String> {
    let asked = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let Ok(mut tx) = db.begin(&scope(org)).await else { return Ok(Said::NotBegun) };
    let looked: Result<(f64, Vec<String>), sqlx::Error> = sqlx::query_as(
        "SELECT extract(epoch FROM transaction_timestamp())::float8,
           array(SELECT DISTINCT org_id::text FROM (SELECT org_id FROM pipelines LIMIT 40) seen)",
    )
    .fetch_one(&mut tx)
    .await;
    let Ok((begun, orgs)) = looked else { return Ok(Said::NotStored) };
    if orgs.iter().any(|it| it != org) {
        return Err(format!("{org} read rows of {orgs:?}"));
    }
    if begun < asked.as_secs_f64() - 0.001 {
        return Err(format!("{org} was lent a transaction that had begun before"));
    }
    for table in ["pipelines", "component_libraries"] {
        let insert = format!("INSERT INTO {table} (org_id, id, name) VALUES ($1, $2, $1)");
        let insert = sqlx::query(AssertSqlSafe(insert)).bind(org).bind(id);
        if insert.execute(&mut tx).await.is_err() {
            return Ok(Said::NotStored);
        }
    }
    Ok(match tx.commit().await {
        Ok(()) => Said::Stored,
        Err(Error::NothingStored { .. }) => Said::NotStored,
        Err(_) => Said::Unknown,
    })
}

/// One read outside a transaction.
async fn read(db: &TenantDb, org: &'static str) -> Result<bool, String> {
    let names: Result<Vec<String>, _> = sqlx::query_scalar("SELECT name FROM pipelines LIMIT 40")
        .fetch_all(&db.scoped(&scope(org)))
        .await;
    match names {
        Ok(names) if names.iter().any(|it| it != org) => Err(format!("{org} read {names:?}")),
        Ok(_) => Ok(true),
        Err(_) => Ok(false),
    }
}

async fn client(task: u64, db: TenantDb, history: Arc<History>, wanted: u64) -> Result<(), String> {
    let mut dice = Dice(task);
    let mut n = 0;
    while history.goes_on(wanted) {
        n += 1;
        let at = dice.index(4);
        let org = ORGS.get(at).copied().unwrap_or("acme");
        if dice.roll(3) == 0 {
            // A third reads outside a transaction; a third of those is dropped.
            let polls = if dice.roll(3) == 0 { dice.index(6) } else { usize::MAX };
            match cut_short(read(&db, org), polls).await.transpose()? {
                Some(true) => {}
                Some(false) => history.refused().await,
                None => drop(history.cut_short.fetch_add(1, Ordering::Relaxed)),
            }
            continue;
        }
        let id = format!("t{task}-{n}");
        let polls = if dice.roll(4) == 0 { dice.index(24) } else { usize::MAX };
        let said = cut_short(transact(&db, org, &id), polls).await.transpose()?;
        if said.is_none() {
            history.cut_short.fetch_add(1, Ordering::Relaxed);
        }
        match said {
            Some(Said::NotStored) => drop(history.failed.fetch_add(1, Ordering::Relaxed)),
            Some(Said::NotBegun) => history.refused().await,
            _ => {}
        }
        history.said.lock().await.insert((at, id), said.unwrap_or(Said::Unknown));
    }
    Ok(())
}

fn transactions() -> u64 {
    std::env::var("HISTORY_TRANSACTIONS").ok().and_then(|it| it.parse().ok()).unwrap_or(4_000)
}

/// A long run says how far it is.
#[expect(clippy::print_stdout, reason = "somebody waits for it")]
async fn progress(what: String, history: Arc<History>, wanted: u64) {
    while !history.over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs(10)).await;
        println!("{what}: {} of {wanted}", history.done.load(Ordering::Relaxed).min(wanted));
    }
}

#[expect(clippy::print_stdout, reason = "a long run tells what it did")]
async fn run(mode: ContextMode, connections: u32, pooled: bool) -> TestResult {
    let wanted = transactions() / 4;
    // A server of its own: it is going to crash.
    let postgres = Postgres::start().await?;
    let owner_url = postgres.database().await?;
    let (app, admin) = (as_role(&owner_url, "cupel_app")?, as_role(&owner_url, "cupel_admin")?);
    sql(&owner_url, SCHEMA).await?;
    migration(&owner_url, &app, &admin).context(mode).seal_keys([seal_key("k1")]).run().await?;
    // The test bed's servers forget the last commits in a crash, for speed; this one must not.
    sql(&owner_url, "ALTER ROLE cupel_app SET synchronous_commit = on").await?;
    let pooler = if pooled { Some(PgBouncer::in_front_of(&postgres, 2).await?) } else { None };
    let url = pooler.as_ref().map_or(Ok(app.clone()), |it| it.to(&app))?;
    let db = TenantDb::builder(&url)
        .seal_key(seal_key("k1"))
        .behind_pooler(pooled)
        .max_connections(connections)
        .connect()
        .await?;
    let history = Arc::new(History { trouble: Trouble::new(pooled), ..History::default() });
    let pooler_name = if pooled { " behind a pooler" } else { "" };
    let what = format!("{} over {connections} connections{pooler_name}", mode.as_str());
    let told = tokio::spawn(progress(what.clone(), Arc::clone(&history), wanted));
    let mut clients = JoinSet::new();
    for task in 0..CLIENTS {
        clients.spawn(client(task, db.clone(), Arc::clone(&history), wanted));
    }
    let trouble = tokio::spawn(trouble::make(owner_url.clone(), pooler, Arc::clone(&history)));
    while let Some(done) = clients.join_next().await {
        done??;
    }
    history.over.store(true, Ordering::Relaxed);
    told.abort();
    trouble.await??;

    let mut owner = connect_again(&owner_url).await?;
    let stored: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT org_id::text, id, count(*) FROM (SELECT org_id, id FROM pipelines
           UNION ALL SELECT org_id, id FROM component_libraries) both_tables GROUP BY 1, 2",
    )
    .fetch_all(&mut owner)
    .await?;
    let said = history.said.lock().await;
    let halves = stored.iter().filter(|(_, _, rows)| *rows != 2).count();
    assert_eq!(halves, 0, "transactions that were stored by half");
    let mut there = BTreeMap::new();
    for (org, id, _) in &stored {
        there.insert(id.as_str(), org.as_str());
    }
    for ((at, id), said) in said.iter() {
        let found = there.get(id.as_str()).copied();
        match said {
            Said::Stored => assert_eq!(found, ORGS.get(*at).copied(), "{id} was stored"),
            Said::NotStored | Said::NotBegun => assert_eq!(found, None, "{id} was not stored"),
            Said::Unknown => {}
        }
    }
    let count = |wanted: Said| said.values().filter(|it| **it == wanted).count();
    println!(
        "{what}: {} transactions and reads, {} dropped half-way, {} failed; {} stored and found, \
         {}; {} more were not begun",
        history.done.load(Ordering::Relaxed).saturating_sub(CLIENTS),
        history.cut_short.load(Ordering::Relaxed),
        history.failed.load(Ordering::Relaxed),
        count(Said::Stored),
        history.trouble,
        history.refused.load(Ordering::Relaxed),
    );
    assert!(count(Said::Stored) > 0 && history.cut_short.load(Ordering::Relaxed) > 0);
    assert!(
        history.refused.load(Ordering::Relaxed) < wanted + REFUSALS,
        "{what}: it does not come back"
    );
    assert!(!history.trouble.is_missing(), "{what}: {}", history.trouble);
    Ok(())
}

/// The server may be on its feet again in a moment.
async fn connect_again(url: &str) -> Result<PgConnection, Box<dyn std::error::Error>> {
    for _ in 0..200 {
        match PgConnection::connect(url).await {
            Ok(conn) => return Ok(conn),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(PgConnection::connect(url).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_all() -> TestResult {
    run(ContextMode::Plain, 1, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_connections_of_a_sealed_context_serve_all() -> TestResult {
    run(ContextMode::Sealed, 4, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_connections_of_a_register_serve_all() -> TestResult {
    run(ContextMode::Register, 3, false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_of_two_backends_serves_all() -> TestResult {
    run(ContextMode::Sealed, 4, true).await
}
