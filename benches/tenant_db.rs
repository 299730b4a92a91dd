//! What does a guarded transaction cost over one that guards by hand?
//!
//! Ours: `begin(&scope)`, one read by primary key without a WHERE clause on the organization, `commit`.
//! Baseline: sqlx's pool with its defaults, `begin`, the same read with `WHERE org_id = $1`, `commit`.
//! Both run in turns on the same server, each on a pool of its own, so that what the machine does
//! meanwhile meets both. Run with `scripts/bench tenant-db`.

#![expect(clippy::print_stdout, reason = "a benchmark reports to its reader")]

mod report;

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use cupel_tenant::{OrgId, TenantScope};
use cupel_tenant_db::{Migration, Table, TenantDb};
use cupel_testkit::Postgres;
use hdrhistogram::Histogram;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;

use crate::report::{Measure, Report};

/// The goal: at most this times the baseline.
const GOAL: f64 = 1.05;
const SCHEMA: &str = include_str!("../crates/cupel-tenant-db/examples/pipelines/schema.sql");

#[derive(Parser)]
struct Args {
    /// Text, or JSON on standard output.
    #[arg(long, default_value = "text")]
    format: String,
    /// A tenth of the work, to see that it runs.
    #[arg(long)]
    short: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let rounds = if args.short { 4 } else { 40 };
    let bench = Bench::start().await?;
    bench.warm_up().await?;
    let results = vec![
        bench.measure("transaction with one read, one task, median", rounds, 1).await?,
        bench.measure("transaction with one read, eight tasks, median", rounds, 8).await?,
    ];
    let report = Report::new(results);
    match args.format.as_str() {
        "json" => println!("{:#}", report.json()),
        _ => print!("{}", report.text()),
    }
    Ok(())
}

struct Bench {
    ours: TenantDb,
    baseline: PgPool,
    scope: TenantScope,
}

impl Bench {
    const ORGS: usize = 20;
    const ROWS_PER_ORG: usize = 500;
    const PER_ROUND: usize = 250;

    async fn start() -> Result<Self, Box<dyn Error>> {
        let postgres = Postgres::shared().await?;
        let owner_url = postgres.database().await?;
        let app_url = with_role(&owner_url, "bench_app")?;
        let owner = PgPoolOptions::new().max_connections(1).connect(&owner_url).await?;
        sqlx::raw_sql(SCHEMA).execute(&owner).await?;
        Migration::new(&owner_url)
            .app_url(&app_url)
            .tables([Table::org("pipelines")])
            .run()
            .await?;
        for org in 0..Self::ORGS {
            sqlx::query(
                "INSERT INTO pipelines (org_id, id, name)
                 SELECT $1, 'p-' || n, 'pipeline ' || n FROM generate_series(1, $2) n",
            )
            .bind(format!("org-{org}"))
            .bind(i32::try_from(Self::ROWS_PER_ORG)?)
            .execute(&owner)
            .await?;
        }
        sqlx::raw_sql("ANALYZE pipelines").execute(&owner).await?;
        let org: OrgId = "org-7".parse()?;
        Ok(Self {
            ours: TenantDb::builder(&app_url).max_connections(10).connect().await?,
            // The owner is exempt from row-level security, as a service without it would be.
            baseline: PgPoolOptions::new().max_connections(10).connect(&owner_url).await?,
            scope: TenantScope::org(org),
        })
    }

    async fn warm_up(&self) -> Result<(), Box<dyn Error>> {
        self.round(Side::Ours, 8).await?;
        self.round(Side::Baseline, 8).await?;
        Ok(())
    }

    async fn measure(
        &self,
        name: &'static str,
        rounds: usize,
        tasks: usize,
    ) -> Result<Measure, Box<dyn Error>> {
        let mut ours = Histogram::<u64>::new(3)?;
        let mut baseline = Histogram::<u64>::new(3)?;
        for _ in 0..rounds {
            ours.add(self.round(Side::Ours, tasks).await?)?;
            baseline.add(self.round(Side::Baseline, tasks).await?)?;
        }
        let micros = |it: &Histogram<u64>| {
            Duration::from_nanos(it.value_at_quantile(0.5)).as_secs_f64() * 1e6
        };
        Ok(Measure::new(name, micros(&ours), micros(&baseline), "µs", GOAL))
    }

    async fn round(&self, side: Side, tasks: usize) -> Result<Histogram<u64>, Box<dyn Error>> {
        let mut running = JoinSet::new();
        for _ in 0..tasks {
            let (ours, baseline, scope) =
                (self.ours.clone(), self.baseline.clone(), self.scope.clone());
            running.spawn(async move {
                let mut times = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
                for n in 0..Self::PER_ROUND {
                    let id = format!("p-{}", n % Self::ROWS_PER_ORG + 1);
                    let begun = Instant::now();
                    let name = match side {
                        Side::Ours => guarded(&ours, &scope, &id).await,
                        Side::Baseline => by_hand(&baseline, &scope, &id).await,
                    }
                    .map_err(|error| error.to_string())?;
                    let took = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    times.record(took).map_err(|error| error.to_string())?;
                    assert!(name.starts_with("pipeline "), "the read returned its row");
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

#[derive(Clone, Copy)]
enum Side {
    Ours,
    Baseline,
}

async fn guarded(db: &TenantDb, scope: &TenantScope, id: &str) -> Result<String, Box<dyn Error>> {
    let mut tx = db.begin(scope).await?;
    let name = sqlx::query_scalar("SELECT name FROM pipelines WHERE id = $1")
        .bind(id)
        .fetch_one(&mut tx)
        .await?;
    tx.commit().await?;
    Ok(name)
}

async fn by_hand(pool: &PgPool, scope: &TenantScope, id: &str) -> Result<String, Box<dyn Error>> {
    let mut tx = pool.begin().await?;
    let name = sqlx::query_scalar("SELECT name FROM pipelines WHERE org_id = $1 AND id = $2")
        .bind(scope.org_id().as_str())
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(name)
}

/// The same server and database as another role, whose password is its name.
fn with_role(url: &str, role: &str) -> Result<String, Box<dyn Error>> {
    let mut url: url::Url = url.parse()?;
    let refused = "the URL takes no user";
    url.set_username(role).map_err(|()| refused)?;
    url.set_password(Some(role)).map_err(|()| refused)?;
    Ok(url.to_string())
}
