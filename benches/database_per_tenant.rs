//! What does the design cost that we do not have: a database for each tenant?
//!
//! Ours: one table, its rows isolated in each of the three modes, and one pool of ten. Baseline: as many
//! databases as tenants, each with a small sqlx pool and no isolation inside. The client of either is a process of
//! its own, 32 tasks that read and write for a tenant at random; each round opens one, measures, and closes it, so
//! that only one design is on the server at a time. Run with `scripts/bench database-per-tenant`.

#![expect(clippy::print_stderr, reason = "a benchmark reports to its reader")]

mod designs;

use std::io::{BufRead, Write, stdin, stdout};
use std::time::Duration;

use clap::Parser;
use cupel_benches::args::Run;
use cupel_benches::child::Child;
use cupel_benches::load::median;
use cupel_benches::report::{Goal, Measure, Report, load_average};
use cupel_benches::server::Server;
use cupel_benches::{BoxError, processes};
use cupel_tenant_db::ContextMode;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::designs::{
    AT_A_TIME, CLIENTS, CONNECTIONS_EACH, Design, SHARED_CONNECTIONS, Service, WRITES,
};

/// More than any of the designs holds at 200 tenants.
const MAX_CONNECTIONS: u32 = 1_000;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: Run,
    /// Be the client of this design.
    #[arg(long, hide = true, num_args = 3, value_names = ["DESIGN", "URL", "TENANTS"])]
    client: Option<Vec<String>>,
}

/// What is measured in each round: a name and a unit.
const MEASURES: [(&str, &str); 7] = [
    ("connections held at the server", ""),
    ("memory of the server's backends (PSS)", "MB"),
    ("memory of the client (RSS)", "MB"),
    ("one column more for every tenant", "ms"),
    ("mixed load, p50", "µs"),
    ("mixed load, p99", "µs"),
    ("mixed load, throughput", "/s"),
];

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    if let Some([design, url, tenants]) = args.client.as_deref() {
        return client(design, url, tenants.parse()?).await;
    }
    let (tenants, rounds, warm_up, time) =
        if args.run.short { (10, 1, 1, 1) } else { (200, 5, 6, 5) };
    let load_average = load_average();
    let server = Server::with_connections(MAX_CONNECTIONS).await?;
    let mut designs = Vec::new();
    for mode in [ContextMode::Plain, ContextMode::Register, ContextMode::Sealed] {
        designs.push(Design::shared(&server, mode, tenants).await?);
    }
    designs.push(Design::apart(&server, tenants).await?);
    eprintln!("{tenants} tenants prepared");
    let mut figures = vec![Vec::new(); designs.len()];
    for round in 1..=rounds {
        for (design, figures) in designs.iter().zip(&mut figures) {
            figures.push(take(&server, design, tenants, (warm_up, time), round).await?);
        }
        eprintln!("round {round} of {rounds}");
    }
    let mut sides = designs.iter().zip(figures.iter().map(|it| medians(it)));
    let (_, baseline) = sides.next_back().ok_or("no baseline")?;
    let mut results = Vec::new();
    for (design, ours) in sides {
        for (((name, unit), ours), baseline) in MEASURES.into_iter().zip(ours).zip(baseline) {
            let name = format!("{}: {name}", design.name());
            results.push(Measure::new(name, ours, baseline, unit, Goal::None));
        }
    }
    let conditions = format!(
        "PostgreSQL {} on loopback without fsync; {tenants} tenants; one pool of {SHARED_CONNECTIONS}, or one of \
         {CONNECTIONS_EACH} each; {CLIENTS} clients, {WRITES} % writes; migrated {AT_A_TIME} at a time; medians, \
         rounds of {time} s: {rounds}; load average before: {load_average}",
        server.version()
    );
    let report = Report::new(results).under(conditions);
    report.print(args.run.format);
    server.stop().await
}

/// Takes all measures of one design, which nothing else is on the server beside.
async fn take(
    server: &Server,
    design: &Design,
    tenants: u64,
    (warm_up, time): (u64, u64),
    round: usize,
) -> Result<[f64; MEASURES.len()], BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--client").args(design.arguments()).arg(tenants.to_string());
    let mut child = Child::start(command).await?;
    // Long enough that no connection is opened while it is measured: every pool is full by then.
    child.ask(&warm_up.to_string()).await?;
    let load = child.ask(&time.to_string()).await?;
    let (connections, backends) = server.backends().await?;
    let rss = processes::memory(child.id().ok_or("the client has ended")?)?;
    child.end().await?;
    let migration = design.migrate(server, round).await?;
    let figure = |name: &str| load.get(name).and_then(Value::as_f64).ok_or("no figure");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    Ok([
        connections as f64,
        backends as f64 / 1e6,
        rss as f64 / 1e6,
        migration.as_secs_f64() * 1e3,
        figure("p50")?,
        figure("p99")?,
        figure("per_second")?,
    ])
}

fn medians(rounds: &[[f64; MEASURES.len()]]) -> [f64; MEASURES.len()] {
    std::array::from_fn(|measure| {
        let mut of_all: Vec<f64> =
            rounds.iter().filter_map(|round| round.get(measure)).copied().collect();
        median(&mut of_all)
    })
}

/// Connects, and works for the seconds that each line of standard input says.
async fn client(design: &str, url: &str, tenants: u64) -> Result<(), BoxError> {
    let service = Service::connect(design, url, tenants).await?;
    answer("ready")?;
    for line in stdin().lock().lines() {
        let load = service.work(tenants, Duration::from_secs(line?.parse()?)).await?;
        let (p50, p99) = (load.micros(0.5), load.micros(0.99));
        answer(&json!({ "p50": p50, "p99": p99, "per_second": load.per_second() }).to_string())?;
    }
    Ok(())
}

fn answer(line: &str) -> Result<(), BoxError> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
