//! Does it matter how many organizations share a table?
//!
//! Ours: 100,000 organizations in one table of a million rows, each transaction or read of another one at
//! random: when the service has served each of them before, and apart from that when it has not. Baseline:
//! ten organizations in a table of as many rows, on the same server and with the same pool size. Eight
//! tasks; half-way and at the slow end.
//!
//! The same is done by hand, on sqlx's pool with a `WHERE org_id` and as a role that row-level security does
//! not bind: what a million rows read at random cost by themselves, and what ours is compared with in the end. Run with `scripts/bench tenant-db-orgs`.

#![expect(clippy::print_stderr, reason = "a benchmark reports to its reader")]

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use cupel_benches::args::Run;
use cupel_benches::report::{Goal, Measure, Report};
use cupel_tenant::{OrgId, TenantScope};
use cupel_tenant_db::{Migration, Table, TenantDb};
use cupel_testkit::Postgres;
use hdrhistogram::Histogram;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

/// At most this times the baseline, at p50 and at p99.
const GOAL: f64 = 1.10;
const TASKS: u64 = 8;
const CONNECTIONS: u32 = 10;
/// How often a task does it in a round.
const EACH: u64 = 200;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: Run,
}

/// What a task does again and again.
#[derive(Clone, Copy)]
enum Work {
    Transaction,
    SingleRead,
    TransactionByHand,
    SingleReadByHand,
}

/// Which organizations are served in a round.
#[derive(Clone, Copy)]
enum Round {
    /// One after the other, so that each comes once.
    First(u64),
    Random(u64),
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (rows, rounds) = if args.run.short { (10_000, 2) } else { (1_000_000, 30) };
    let many = Database::start(rows / 10, rows).await?;
    let few = Database::start(10, rows).await?;
    let mut bench = Bench { many, few, results: Vec::new() };
    let first: Vec<Round> = (0..(rows / 10).div_ceil(TASKS * EACH)).map(Round::First).collect();
    let random: Vec<Round> = (1..=rounds).map(Round::Random).collect();
    for (name, work, rounds) in [
        ("transaction by hand", Work::TransactionByHand, &random),
        ("single read by hand", Work::SingleReadByHand, &random),
        ("transaction, never served before", Work::Transaction, &first),
        ("transaction", Work::Transaction, &random),
        ("single read", Work::SingleRead, &random),
    ] {
        bench.many_and_few(name, work, rounds).await?;
    }
    for (name, work, by_hand, goal) in [
        ("transaction", Work::Transaction, Work::TransactionByHand, 1.00),
        ("single read", Work::SingleRead, Work::SingleReadByHand, 1.50),
    ] {
        bench.ours_and_by_hand(name, work, by_hand, goal, &random).await?;
    }
    let report = Report::new(bench.results);
    report.print(args.run.format);
    Ok(())
}

struct Bench {
    many: Database,
    few: Database,
    results: Vec<Measure>,
}

impl Bench {
    /// Does the work with many organizations and with few in turns, and compares.
    async fn many_and_few(&mut self, name: &str, work: Work, rounds: &[Round]) -> Asked {
        let name = format!("{name}, {} organizations against 10", self.many.orgs);
        let sides = [(&self.many, work), (&self.few, work)];
        let results = compare(&name, sides, rounds, [("p50", 0.5), ("p99", 0.99)], GOAL).await?;
        self.results.extend(results);
        Ok(())
    }

    /// Does the work with many organizations, guarded and by hand in turns, and compares the medians.
    async fn ours_and_by_hand(
        &mut self,
        name: &str,
        work: Work,
        by_hand: Work,
        goal: f64,
        rounds: &[Round],
    ) -> Asked {
        let name = format!("{name} of {} organizations against by hand", self.many.orgs);
        let sides = [(&self.many, work), (&self.many, by_hand)];
        self.results.extend(compare(&name, sides, rounds, [("p50", 0.5)], goal).await?);
        Ok(())
    }
}

type Asked = Result<(), Box<dyn Error>>;

/// Two sides in turns, at each of the points.
async fn compare<const N: usize>(
    name: &str,
    [ours, baseline]: [(&Database, Work); 2],
    rounds: &[Round],
    points: [(&str, f64); N],
    goal: f64,
) -> Result<[Measure; N], Box<dyn Error>> {
    let mut times = [Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?];
    if matches!(rounds, [Round::Random(_), ..]) {
        for (database, work) in [ours, baseline] {
            database.round(work, Round::Random(0)).await?;
        }
    }
    for round in rounds {
        for ((database, work), times) in [ours, baseline].into_iter().zip(&mut times) {
            times.add(database.round(work, *round).await?)?;
        }
    }
    Ok(points.map(|(point, quantile)| {
        let [ours, baseline] = times
            .each_ref()
            .map(|it| Duration::from_nanos(it.value_at_quantile(quantile)).as_secs_f64() * 1e6);
        let name = format!("{name}, {point}");
        eprintln!("{name}: {ours:.0} and {baseline:.0} µs");
        Measure::new(name, ours, baseline, "µs", Goal::AtMost(goal))
    }))
}

struct Database {
    db: TenantDb,
    by_hand: PgPool,
    orgs: u64,
    rows: u64,
}

impl Database {
    async fn start(orgs: u64, rows: u64) -> Result<Self, Box<dyn Error>> {
        let owner_url = Postgres::shared().await?.database().await?;
        let mut app_url: url::Url = owner_url.parse()?;
        let refused = "the URL takes no user";
        app_url.set_username("bench_app").map_err(|()| refused)?;
        app_url.set_password(Some("bench_app")).map_err(|()| refused)?;
        let by_hand = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&owner_url).await?;
        sqlx::raw_sql(
            "CREATE TABLE notes (org_id text COLLATE \"C\" NOT NULL, id bigint NOT NULL,
               body text NOT NULL, PRIMARY KEY (org_id, id))",
        )
        .execute(&by_hand)
        .await?;
        let tables = [Table::org("notes")];
        Migration::new(&owner_url).app_url(app_url.as_str()).tables(tables).run().await?;
        sqlx::query(
            "INSERT INTO notes SELECT 'org-' || n % $1, n / $1, 'note ' || n
             FROM generate_series(0, $2 - 1) n",
        )
        .bind(i64::try_from(orgs)?)
        .bind(i64::try_from(rows)?)
        .execute(&by_hand)
        .await?;
        sqlx::raw_sql("VACUUM ANALYZE").execute(&by_hand).await?;
        let builder = TenantDb::builder(app_url.as_str()).max_connections(CONNECTIONS);
        Ok(Self { db: builder.connect().await?, by_hand, orgs, rows })
    }

    async fn round(&self, work: Work, round: Round) -> Result<Histogram<u64>, Box<dyn Error>> {
        let mut running = JoinSet::new();
        for task in 0..TASKS {
            let (db, by_hand) = (self.db.clone(), self.by_hand.clone());
            let (orgs, each) = (self.orgs, self.rows / self.orgs);
            running.spawn(async move {
                let mut times = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
                for n in 0..EACH {
                    let at = match round {
                        Round::First(round) => (round * TASKS + task) * EACH + n,
                        Round::Random(round) => scatter(round * 1_000_000 + task * 1_000 + n),
                    };
                    let org: OrgId = format!("org-{}", at % orgs)
                        .parse()
                        .map_err(|_| "not an organization".to_owned())?;
                    let id = i64::try_from(at / orgs % each).unwrap_or(0);
                    let begun = Instant::now();
                    let done = match work {
                        Work::Transaction | Work::SingleRead => once(&db, org, id, work).await,
                        _ => once_by_hand(&by_hand, org, id, work).await,
                    };
                    done.map_err(|error| error.to_string())?;
                    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    times.record(took).map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(times)
            });
        }
        let mut all = Histogram::<u64>::new(3)?;
        while let Some(times) = running.join_next().await {
            all.add(times??)?;
        }
        Ok(all)
    }
}

type Done = Result<(), Box<dyn Error + Send + Sync>>;

async fn once(db: &TenantDb, org: OrgId, id: i64, work: Work) -> Done {
    let scope = TenantScope::org(org);
    let read = sqlx::query_scalar("SELECT body FROM notes WHERE id = $1").bind(id);
    let body: String = if matches!(work, Work::Transaction) {
        let mut tx = db.begin(&scope).await?;
        let body = read.fetch_one(&mut tx).await?;
        tx.commit().await?;
        body
    } else {
        read.fetch_one(&db.scoped(&scope)).await?
    };
    is_note(&body)
}

async fn once_by_hand(pool: &PgPool, org: OrgId, id: i64, work: Work) -> Done {
    let read = sqlx::query_scalar("SELECT body FROM notes WHERE org_id = $1 AND id = $2");
    let read = read.bind(org.to_string()).bind(id);
    let body: String = if matches!(work, Work::TransactionByHand) {
        let mut tx = pool.begin().await?;
        let body = read.fetch_one(&mut *tx).await?;
        tx.commit().await?;
        body
    } else {
        read.fetch_one(pool).await?
    };
    is_note(&body)
}

fn is_note(body: &str) -> Done {
    if body.starts_with("note ") { Ok(()) } else { Err("another row was read".into()) }
}

/// Spreads numbers evenly, the same each time (the finalizer of splitmix64).
fn scatter(n: u64) -> u64 {
    let it = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}
