//! Who is compared: we, those who do the same in another way, and a client that does nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cupel_benches::child::Child;
use cupel_benches::load::{Picks, load};
use cupel_benches::same_table::{self, ROWS, name, org_id};
use cupel_benches::{BoxError, processes};
use cupel_tenant::TenantScope;
use cupel_tenant_db::{ContextMode, TenantDb};
use serde_json::Value;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::process::Command;

use crate::pgbench::{self, Protocol};

/// How many want something at the same time.
pub(crate) const CLIENTS: u64 = 32;
/// How many connections each side may hold.
pub(crate) const CONNECTIONS: u32 = 10;

/// How many organizations there are. The peers that are programs of their own have the number too.
pub(crate) const ORGS: u64 = 20;

const READ: &str = "SELECT name FROM pipelines WHERE id = $1";
const WRITE: &str = "UPDATE pipelines SET runs = runs + 1 WHERE id = $1";

/// What a client does again and again, each time for another organization at random.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    TransactionRead,
    TransactionWrite,
    SingleRead,
}

impl Work {
    /// As the peers are told.
    fn task(self) -> &'static str {
        match self {
            Self::TransactionRead => "transaction-read",
            Self::TransactionWrite => "transaction-write",
            Self::SingleRead => "single-read",
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::TransactionRead => "transaction with one read",
            Self::TransactionWrite => "transaction with one write",
            Self::SingleRead => "single read",
        }
    }
}

/// One of those who are compared, connected.
pub(crate) enum Side {
    Cupel(TenantDb),
    /// sqlx's own pool, and the context set by hand in the message that begins the transaction.
    ByHand(PgPool),
    Processes(Vec<Child>),
    Pgbench {
        program: PathBuf,
        url: String,
        protocol: Protocol,
    },
}

/// What a side did in one round.
pub(crate) struct Round {
    pub(crate) transactions: f64,
    pub(crate) per_second: f64,
}

impl Side {
    pub(crate) async fn cupel(url: &str, mode: ContextMode) -> Result<Self, BoxError> {
        Ok(Self::Cupel(same_table::connect(url, mode, CONNECTIONS).await?))
    }

    pub(crate) async fn by_hand(url: &str) -> Result<Self, BoxError> {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS);
        Ok(Self::ByHand(options.connect(url).await?))
    }

    pub(crate) async fn tenaxum(program: &Path, url: &str, way: &str) -> Result<Self, BoxError> {
        let mut command = Command::new(program);
        command.args([url, way, &CLIENTS.to_string(), &CONNECTIONS.to_string()]);
        Ok(Self::Processes(vec![Child::start(command).await?]))
    }

    /// The clients are divided among the processes, each of which has a pool of full size.
    pub(crate) async fn sqlalchemy(python: &Path, url: &str, of: u64) -> Result<Self, BoxError> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/sqlalchemy_session.py");
        let url = url.replacen("postgres://", "postgresql+psycopg2://", 1);
        let mut children = Vec::new();
        for _ in 0..of {
            let mut command = Command::new(python);
            let (clients, connections) = ((CLIENTS / of).to_string(), CONNECTIONS.to_string());
            command.args([script, &url, &clients, &connections]);
            children.push(Child::start(command).await?);
        }
        Ok(Self::Processes(children))
    }

    /// Works for so many seconds.
    pub(crate) async fn round(&mut self, work: Work, seconds: u64) -> Result<Round, BoxError> {
        let time = Duration::from_secs(seconds);
        let load = match self {
            Self::Cupel(db) => {
                let db = db.clone();
                load(CLIENTS, time, move |picks| cupel(db.clone(), work, picks)).await?
            }
            Self::ByHand(pool) => {
                let pool = pool.clone();
                load(CLIENTS, time, move |picks| by_hand(pool.clone(), work, picks)).await?
            }
            Self::Processes(children) => return ask(children, work, seconds).await,
            Self::Pgbench { program, url, protocol } => {
                return pgbench::round(program, url, *protocol, work, seconds).await;
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "a count of transactions")]
        let transactions = load.times.len() as f64;
        Ok(Round { transactions, per_second: load.per_second() })
    }

    /// Returns the processor time that the client has taken, with this process's own.
    pub(crate) fn cpu(&self) -> Result<Duration, BoxError> {
        let mut sum = processes::cpu(std::process::id())?;
        if let Self::Processes(children) = self {
            for child in children {
                sum += processes::cpu(child.id().ok_or("a child has ended")?)?;
            }
        }
        Ok(sum)
    }
}

async fn cupel(db: TenantDb, work: Work, picks: Picks) -> Result<(), BoxError> {
    let (org, row) = (picks.org(ORGS), picks.row(ROWS));
    let scope = TenantScope::org(org_id(org).parse()?);
    let read = sqlx::query_scalar(READ).bind(row);
    match work {
        Work::SingleRead => {
            let read: String = read.fetch_one(&db.scoped(&scope)).await?;
            known(org, row, &read)
        }
        Work::TransactionRead => {
            let mut tx = db.begin(&scope).await?;
            let read: String = read.fetch_one(&mut tx).await?;
            tx.commit().await?;
            known(org, row, &read)
        }
        Work::TransactionWrite => {
            let mut tx = db.begin(&scope).await?;
            let written = sqlx::query(WRITE).bind(row).execute(&mut tx).await?;
            tx.commit().await?;
            one(written.rows_affected())
        }
    }
}

async fn by_hand(pool: PgPool, work: Work, picks: Picks) -> Result<(), BoxError> {
    let (org, row) = (picks.org(ORGS), picks.row(ROWS));
    let begin = format!("BEGIN; SET LOCAL app.current_org_id = '{}'", org_id(org));
    let mut tx = pool.begin_with(AssertSqlSafe(begin)).await?;
    if work == Work::TransactionWrite {
        let written = sqlx::query(WRITE).bind(row).execute(&mut *tx).await?;
        tx.commit().await?;
        return one(written.rows_affected());
    }
    let read: String = sqlx::query_scalar(READ).bind(row).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    known(org, row, &read)
}

fn known(org: u64, row: i64, read: &str) -> Result<(), BoxError> {
    if read == name(org, row) { Ok(()) } else { Err("another row was read".into()) }
}

fn one(rows: u64) -> Result<(), BoxError> {
    if rows == 1 { Ok(()) } else { Err("no row was written".into()) }
}

/// Lets all of them work at the same time, and adds up what they did.
async fn ask(children: &mut [Child], work: Work, seconds: u64) -> Result<Round, BoxError> {
    let task = format!("{} {seconds}", work.task());
    let asked = children.iter_mut().map(|child| child.ask(&task));
    let mut round = Round { transactions: 0.0, per_second: 0.0 };
    for answer in futures::future::try_join_all(asked).await? {
        let figure = |name: &str| answer.get(name).and_then(Value::as_f64).ok_or("no figure");
        round.transactions += figure("transactions")?;
        round.per_second += figure("transactions")? / figure("seconds")?;
    }
    Ok(round)
}
