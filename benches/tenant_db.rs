//! What does it cost that a transaction, a statement or a scan belongs to one organization?
//!
//! Baseline: sqlx's own pool with a hand-written `WHERE org_id = $1`, as a role that row-level security
//! does not bind. Both sides run in turns on the same server, each on a pool of its own, so that what the
//! machine does meanwhile meets both. Run with `scripts/bench tenant-db`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports to its reader")]

mod far;
mod sides;

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use cupel_benches::report::{Goal, Measure, Report};
use cupel_tenant_db::ContextMode;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::far::far_away;
use crate::sides::{Server, Side};

#[derive(Parser)]
struct Args {
    /// Text, or JSON on standard output.
    #[arg(long, default_value = "text")]
    format: String,
    /// A tenth of the work, to see that it runs.
    #[arg(long)]
    short: bool,
}

/// A goal is at most so many times the baseline.
struct Question {
    name: &'static str,
    ours: Side,
    baseline: Side,
    goal: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut results = Vec::new();
    for (mode, against_default, against_bare) in [
        (ContextMode::Plain, 1.00, 1.05),
        (ContextMode::Register, 1.05, 1.10),
        (ContextMode::Sealed, 1.20, 1.25),
    ] {
        let server = Server::start(mode, args.short).await?;
        let near =
            Bench { server: &server, way: "", rounds: if args.short { 2 } else { 40 }, of: 250 };
        let pooled = [
            Question {
                name: "transaction with one read, against sqlx's default pool",
                ours: server.guarded(None).await?,
                baseline: server.by_hand(None, true).await?,
                goal: against_default,
            },
            Question {
                name: "the same, against a pool that does not ping",
                ours: server.guarded(None).await?,
                baseline: server.by_hand(None, false).await?,
                goal: against_bare,
            },
            Question {
                name: "single read, against autocommit on sqlx's default pool",
                ours: server.single(None).await?,
                baseline: server.single_by_hand(None, true).await?,
                goal: 1.50,
            },
        ];
        for question in &pooled {
            for tasks in [1, 8] {
                results.push(near.ask(question, tasks).await?);
            }
        }
        let far_app = far_away(&server.app_url, Duration::from_micros(500)).await?;
        let far_owner = far_away(&server.owner_url, Duration::from_micros(500)).await?;
        let far = Bench {
            server: &server,
            way: ", 0.5 ms away",
            rounds: if args.short { 1 } else { 8 },
            of: 100,
        };
        for question in [
            Question {
                name: "transaction with one read, against sqlx's default pool",
                ours: server.guarded(Some(&far_app)).await?,
                baseline: server.by_hand(Some(&far_owner), true).await?,
                goal: against_default,
            },
            Question {
                name: "the same, against a pool that does not ping",
                ours: server.guarded(Some(&far_app)).await?,
                baseline: server.by_hand(Some(&far_owner), false).await?,
                goal: against_bare,
            },
            Question {
                name: "single read, against autocommit on sqlx's default pool",
                ours: server.single(Some(&far_app)).await?,
                baseline: server.single_by_hand(Some(&far_owner), true).await?,
                goal: 1.50,
            },
        ] {
            results.push(far.ask(&question, 1).await?);
        }
        let scan =
            Bench { server: &server, way: "", rounds: if args.short { 1 } else { 20 }, of: 1 };
        let question = Question {
            name: "sequential scan of a table of 1M rows",
            ours: server.scan(),
            baseline: server.scan_by_hand().await?,
            goal: 1.10,
        };
        results.push(scan.ask(&question, 1).await?);
    }
    let report = Report::new(results);
    match args.format.as_str() {
        "json" => println!("{:#}", report.json()),
        _ => print!("{}", report.text()),
    }
    Ok(())
}

struct Bench<'a> {
    server: &'a Server,
    way: &'static str,
    rounds: usize,
    /// How often a task does it in a round.
    of: usize,
}

impl Bench<'_> {
    /// Asks both sides in turns, and compares the medians.
    async fn ask(&self, question: &Question, tasks: usize) -> Result<Measure, Box<dyn Error>> {
        let mut ours = Histogram::<u64>::new(3)?;
        let mut baseline = Histogram::<u64>::new(3)?;
        for side in [&question.ours, &question.baseline] {
            self.round(side, tasks).await?;
        }
        for _ in 0..self.rounds {
            ours.add(self.round(&question.ours, tasks).await?)?;
            baseline.add(self.round(&question.baseline, tasks).await?)?;
        }
        let micros = |it: &Histogram<u64>| {
            Duration::from_nanos(it.value_at_quantile(0.5)).as_secs_f64() * 1e6
        };
        let tasks = if tasks == 1 { "one task" } else { "eight tasks" };
        let mode = self.server.mode.as_str();
        let name = format!("{mode}: {}{}, {tasks}", question.name, self.way);
        let (ours, baseline) = (micros(&ours), micros(&baseline));
        eprintln!("{name}: {ours:.0} and {baseline:.0} µs");
        Ok(Measure::new(name, ours, baseline, "µs", Goal::AtMost(question.goal)))
    }

    async fn round(&self, side: &Side, tasks: usize) -> Result<Histogram<u64>, Box<dyn Error>> {
        let mut running = JoinSet::new();
        for _ in 0..tasks {
            let (side, of) = (side.clone(), self.of);
            running.spawn(async move {
                let mut times = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
                for n in 0..of {
                    let begun = Instant::now();
                    side.once(n).await.map_err(|error| error.to_string())?;
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
