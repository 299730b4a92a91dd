//! Does it matter how many organizations share a table?
//!
//! Ours: 100,000 organizations in one table of a million rows, each transaction or read of another one at
//! random. Baseline: ten organizations in a table of as many rows, on the same server and with the same
//! pool size. Eight tasks; half-way and at the slow end. Run with `scripts/bench tenant-db-orgs`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports to its reader")]

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use cupel_benches::report::{Goal, Measure, Report};
use cupel_tenant::{OrgId, TenantScope};
use cupel_tenant_db::{Migration, Table, TenantDb};
use cupel_testkit::Postgres;
use hdrhistogram::Histogram;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

/// At most this times the baseline, at p50 and at p99.
const GOAL: f64 = 1.10;
const TASKS: u64 = 8;

#[derive(Parser)]
struct Args {
    /// Text, or JSON on standard output.
    #[arg(long, default_value = "text")]
    format: String,
    /// A hundredth of the work, to see that it runs.
    #[arg(long)]
    short: bool,
}

/// What a task does again and again.
#[derive(Clone, Copy)]
enum Work {
    Transaction,
    SingleRead,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (rows, rounds) = if args.short { (10_000, 2) } else { (1_000_000, 30) };
    let many = Database::start(rows / 10, rows).await?;
    let few = Database::start(10, rows).await?;
    let mut results = Vec::new();
    for (name, work) in
        [("transaction with one read", Work::Transaction), ("single read", Work::SingleRead)]
    {
        let mut ours = Histogram::<u64>::new(3)?;
        let mut baseline = Histogram::<u64>::new(3)?;
        for database in [&many, &few] {
            database.round(work, 0).await?;
        }
        for round in 1..=rounds {
            ours.add(many.round(work, round).await?)?;
            baseline.add(few.round(work, round).await?)?;
        }
        for (point, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let micros = |it: &Histogram<u64>| {
                Duration::from_nanos(it.value_at_quantile(quantile)).as_secs_f64() * 1e6
            };
            let name = format!("{name}, {} organizations against 10, {point}", rows / 10);
            let (ours, baseline) = (micros(&ours), micros(&baseline));
            eprintln!("{name}: {ours:.0} and {baseline:.0} µs");
            results.push(Measure::new(name, ours, baseline, "µs", Goal::AtMost(GOAL)));
        }
    }
    let report = Report::new(results);
    match args.format.as_str() {
        "json" => println!("{:#}", report.json()),
        _ => print!("{}", report.text()),
    }
    Ok(())
}

struct Database {
    db: TenantDb,
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
        let mut owner = PgConnection::connect(&owner_url).await?;
        sqlx::raw_sql(
            "CREATE TABLE notes (org_id text COLLATE \"C\" NOT NULL, id bigint NOT NULL,
               body text NOT NULL, PRIMARY KEY (org_id, id))",
        )
        .execute(&mut owner)
        .await?;
        let tables = [Table::org("notes")];
        Migration::new(&owner_url).app_url(app_url.as_str()).tables(tables).run().await?;
        sqlx::query(
            "INSERT INTO notes SELECT 'org-' || n % $1, n / $1, 'note ' || n
             FROM generate_series(0, $2 - 1) n",
        )
        .bind(i64::try_from(orgs)?)
        .bind(i64::try_from(rows)?)
        .execute(&mut owner)
        .await?;
        sqlx::raw_sql("VACUUM ANALYZE").execute(&mut owner).await?;
        let db = TenantDb::connect(app_url.as_str()).await?;
        Ok(Self { db, orgs, rows })
    }

    async fn round(&self, work: Work, round: u64) -> Result<Histogram<u64>, Box<dyn Error>> {
        let mut running = JoinSet::new();
        for task in 0..TASKS {
            let (db, orgs, each) = (self.db.clone(), self.orgs, self.rows / self.orgs);
            running.spawn(async move {
                let mut times = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
                for n in 0..200 {
                    let at = scatter(round * 1_000_000 + task * 1_000 + n);
                    let org: OrgId = format!("org-{}", at % orgs)
                        .parse()
                        .map_err(|_| "not an organization".to_owned())?;
                    let id = i64::try_from(at / orgs % each).unwrap_or(0);
                    let begun = Instant::now();
                    once(&db, org, id, work).await.map_err(|error| error.to_string())?;
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

async fn once(
    db: &TenantDb,
    org: OrgId,
    id: i64,
    work: Work,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let scope = TenantScope::org(org);
    let read = sqlx::query_scalar("SELECT body FROM notes WHERE id = $1").bind(id);
    let body: String = match work {
        Work::Transaction => {
            let mut tx = db.begin(&scope).await?;
            let body = read.fetch_one(&mut tx).await?;
            tx.commit().await?;
            body
        }
        Work::SingleRead => read.fetch_one(&db.scoped(&scope)).await?,
    };
    if body.starts_with("note ") { Ok(()) } else { Err("another row was read".into()) }
}

/// Spreads numbers evenly, the same each time (the finalizer of splitmix64).
fn scatter(n: u64) -> u64 {
    let it = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}
