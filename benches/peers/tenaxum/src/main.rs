//! What tenaxum does in the time that it is given.
//!
//! `cupel-peer-tenaxum URL hooks|begin CLIENTS CONNECTIONS` says `ready`, and answers each line
//! `transaction-read SECONDS`, `transaction-write SECONDS` or `single-read SECONDS` with the number of
//! transactions that its clients did, and in how many seconds.
//!
//! `hooks` is what its documentation recommends: the pool sets the tenant as it hands a connection out. `begin`
//! is its explicit transaction.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tenaxum::{PgPoolExt, Tenancy, TenantId, pool};
use tokio::task::JoinSet;

const READ: &str = "SELECT name FROM pipelines WHERE id = $1";
const WRITE: &str = "UPDATE pipelines SET runs = runs + 1 WHERE id = $1";

type BoxError = Box<dyn Error + Send + Sync>;

#[derive(Clone, Copy)]
enum Way {
    Hooks,
    Begin,
}

#[derive(Clone, Copy)]
enum Work {
    TransactionRead,
    TransactionWrite,
    SingleRead,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, way, clients, connections] = arguments.as_slice() else {
        return Err("URL hooks|begin CLIENTS CONNECTIONS".into());
    };
    let clients: u64 = clients.parse()?;
    let options = PgPoolOptions::new().max_connections(connections.parse()?);
    let (way, pool) = match way.as_str() {
        "hooks" => (Way::Hooks, pool::with_tenant_hooks(options).connect(url).await?),
        "begin" => (Way::Begin, options.connect(url).await?),
        _ => return Err("neither hooks nor begin".into()),
    };
    let report = Tenancy::new().tenant_column("org_id").ensure_isolation(&pool).await?;
    if !report.is_clean() {
        return Err(report.to_string().into());
    }
    answer("ready")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (work, seconds) = line.split_once(' ').ok_or("WORK SECONDS")?;
        let work = match work {
            "transaction-read" => Work::TransactionRead,
            "transaction-write" => Work::TransactionWrite,
            "single-read" => Work::SingleRead,
            _ => return Err("no such work".into()),
        };
        let time = Duration::from_secs_f64(seconds.parse()?);
        let begun = Instant::now();
        let mut running = JoinSet::new();
        for client in 0..clients {
            let pool = pool.clone();
            running.spawn(async move {
                let mut done = 0;
                let mut chance = Chance(client);
                while begun.elapsed() < time {
                    once(&pool, way, work, &mut chance).await?;
                    done += 1;
                }
                Ok::<u64, BoxError>(done)
            });
        }
        let mut transactions = 0;
        while let Some(done) = running.join_next().await {
            transactions += done??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        answer(&format!("{{\"transactions\": {transactions}, \"seconds\": {seconds}}}"))?;
    }
    Ok(())
}

fn answer(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Does the work once for a tenant at random, and makes sure that it was done for that one.
async fn once(pool: &PgPool, way: Way, work: Work, chance: &mut Chance) -> Result<(), BoxError> {
    let org = 100 + chance.below(20);
    let id = i64::try_from(1 + chance.below(500))?;
    let tenant = TenantId::new(format!("00000000-0000-4000-8000-000000000{org}"));
    let name = match (way, work) {
        (Way::Hooks, Work::SingleRead) => pool::scope_tenant(tenant, async {
            sqlx::query_scalar(READ).bind(id).fetch_one(pool).await
        })
        .await
        .map(Some)?,
        (Way::Hooks, _) => {
            pool::scope_tenant(tenant, async {
                let tx = pool.begin().await?;
                inside(tx, work, id).await
            })
            .await?
        }
        (Way::Begin, _) => inside(pool.begin_tenant(&tenant).await?, work, id).await?,
    };
    match name {
        Some(name) if name != format!("pipeline {org}-{id}") => Err("another row was read".into()),
        _ => Ok(()),
    }
}

/// Answers the name that was read, if one was.
async fn inside(
    mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
    work: Work,
    id: i64,
) -> Result<Option<String>, BoxError> {
    let name = match work {
        Work::TransactionWrite => {
            let written = sqlx::query(WRITE).bind(id).execute(&mut *tx).await?;
            if written.rows_affected() != 1 {
                return Err("no row was written".into());
            }
            None
        }
        _ => Some(sqlx::query_scalar(READ).bind(id).fetch_one(&mut *tx).await?),
    };
    tx.commit().await?;
    Ok(name)
}

/// Numbers that look random and are the same in each run (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % end
    }
}
