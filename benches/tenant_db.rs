//! What does it cost that a transaction, a statement or a scan belongs to one organization?
//!
//! Baseline: sqlx's own pool with a hand-written `WHERE org_id = $1`, as a role that row-level security
//! does not bind. Both sides run in turns on the same server, each on a pool of its own, so that what the
//! machine does meanwhile meets both. Medians are compared; where more tasks than cores are at work, a median
//! says as much of the scheduler as of the work, so the throughput stands beside it. Run with
//! `scripts/bench tenant-db`.

#![expect(clippy::print_stderr, reason = "a benchmark reports to its reader")]

mod far;
mod sides;

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use cupel_benches::args::Run;
use cupel_benches::report::{Detail, Goal, Measure, Report, load_average};
use cupel_tenant_db::ContextMode;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::far::far_away;
use crate::sides::{Server, Side};

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: Run,
    /// Only measures in whose name this stands, such as `sealed` or `single read`.
    #[arg(long, default_value = "")]
    only: String,
}

/// Who is compared with whom, at what.
struct Question {
    name: String,
    ours: Side,
    baseline: Side,
    goal: Goal,
    tasks: usize,
    rounds: usize,
    /// How often a task does it in a round.
    of: usize,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let (mut results, mut details) = (Vec::new(), Vec::new());
    for mode in [ContextMode::Plain, ContextMode::Register, ContextMode::Sealed] {
        let server = Server::start(mode, args.run.short).await?;
        let mut questions = near(&server, args.run.short).await?;
        questions.extend(far(&server, args.run.short).await?);
        questions.push(residue(&server, args.run.short).await?);
        questions.push(scan(&server, args.run.short).await?);
        for question in questions {
            let name = format!("{}: {}", mode.as_str(), question.name);
            if name.contains(&args.only) {
                let (result, of_both) = ask(&name, &question).await?;
                results.push(result);
                details.extend(of_both);
            }
        }
    }
    let report = Report::new(results)
        .under(format!("load average at the end: {}", load_average()))
        .with_details(details);
    report.print(args.run.format);
    Ok(())
}

/// The goals of a transaction, against sqlx's default pool and against one that does not ping.
fn goals(mode: ContextMode) -> (f64, f64) {
    match mode {
        ContextMode::Sealed => (1.20, 1.25),
        ContextMode::Register => (1.05, 1.10),
        _ => (1.00, 1.05),
    }
}

/// What is asked at some distance of the server: the name of each measure, the two sides, the goal.
async fn asked(
    server: &Server,
    app_url: Option<&str>,
    owner_url: Option<&str>,
) -> Result<[(&'static str, Side, Side, Goal); 3], Box<dyn Error>> {
    let (against_default, against_bare) = goals(server.mode);
    Ok([
        (
            "transaction with one read, against sqlx's default pool",
            server.guarded(app_url).await?,
            server.by_hand(owner_url, true).await?,
            Goal::AtMost(against_default),
        ),
        (
            "the same, against a pool that does not ping",
            server.guarded(app_url).await?,
            server.by_hand(owner_url, false).await?,
            Goal::AtMost(against_bare),
        ),
        (
            "single read, against autocommit on sqlx's default pool",
            server.single(app_url).await?,
            server.single_by_hand(owner_url, true).await?,
            Goal::AtMost(1.50),
        ),
    ])
}

async fn near(server: &Server, short: bool) -> Result<Vec<Question>, Box<dyn Error>> {
    let rounds = if short { 2 } else { 40 };
    let mut questions = Vec::new();
    for (name, ours, baseline, goal) in asked(server, None, None).await? {
        for (tasks, in_words) in [(1, "one task"), (8, "eight tasks")] {
            let (ours, baseline) = (ours.clone(), baseline.clone());
            let name = format!("{name}, {in_words}");
            questions.push(Question { name, ours, baseline, goal, tasks, rounds, of: 250 });
        }
    }
    Ok(questions)
}

async fn far(server: &Server, short: bool) -> Result<Vec<Question>, Box<dyn Error>> {
    let rounds = if short { 1 } else { 8 };
    let app_url = far_away(&server.app_url, Duration::from_micros(500))?;
    let owner_url = far_away(&server.owner_url, Duration::from_micros(500))?;
    let asked = asked(server, Some(&app_url), Some(&owner_url)).await?;
    let question = |(name, ours, baseline, goal)| {
        let name = format!("{name}, 0.5 ms away");
        Question { name, ours, baseline, goal, tasks: 1, rounds, of: 100 }
    };
    Ok(asked.into_iter().map(question).collect())
}

/// What it costs to look for what a session holds of its borrower, against a transaction of ours in which
/// every statement was seen to leave nothing.
async fn residue(server: &Server, short: bool) -> Result<Question, Box<dyn Error>> {
    Ok(Question {
        name: "transaction after which the session is looked at, against one that needs it not"
            .to_owned(),
        ours: server.looked_at().await?,
        baseline: server.guarded(None).await?,
        goal: Goal::None,
        tasks: 8,
        rounds: if short { 2 } else { 40 },
        of: 250,
    })
}

async fn scan(server: &Server, short: bool) -> Result<Question, Box<dyn Error>> {
    Ok(Question {
        name: "sequential scan of a table of 1M rows".to_owned(),
        ours: server.scan(),
        baseline: server.scan_by_hand().await?,
        goal: Goal::AtMost(1.10),
        tasks: 1,
        rounds: if short { 1 } else { 20 },
        of: 1,
    })
}

/// Asks both sides in turns, and compares the medians.
async fn ask(name: &str, question: &Question) -> Result<(Measure, [Detail; 2]), Box<dyn Error>> {
    let (mut ours, mut baseline) = (Times::new()?, Times::new()?);
    for side in [&question.ours, &question.baseline] {
        round(question, side).await?;
    }
    for _ in 0..question.rounds {
        ours.add(round(question, &question.ours).await?)?;
        baseline.add(round(question, &question.baseline).await?)?;
    }
    let details = [
        Detail::new(format!("{name}: ours"), ours.figures()),
        Detail::new(format!("{name}: baseline"), baseline.figures()),
    ];
    let (ours, baseline) = (ours.micros(0.5), baseline.micros(0.5));
    eprintln!("{name}: {ours:.0} and {baseline:.0} µs");
    Ok((Measure::new(name.to_owned(), ours, baseline, "µs", question.goal), details))
}

/// How long it took each time, in nanoseconds, and all in all.
struct Times {
    each: Histogram<u64>,
    all: Duration,
}

impl Times {
    fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self { each: Histogram::new(3)?, all: Duration::ZERO })
    }

    fn add(&mut self, other: Self) -> Result<(), Box<dyn Error>> {
        self.each.add(other.each)?;
        self.all += other.all;
        Ok(())
    }

    fn micros(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.each.value_at_quantile(quantile)).as_secs_f64() * 1e6
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let done = self.each.len() as f64;
        vec![
            ("p50 µs", self.micros(0.5)),
            ("p99 µs", self.micros(0.99)),
            ("per second", done / self.all.as_secs_f64()),
        ]
    }
}

async fn round(question: &Question, side: &Side) -> Result<Times, Box<dyn Error>> {
    let mut running = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..question.tasks {
        let (side, of) = (side.clone(), question.of);
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
    let mut all = Times::new()?;
    while let Some(times) = running.join_next().await {
        all.each.add(times??)?;
    }
    all.all = begun.elapsed();
    Ok(all)
}
