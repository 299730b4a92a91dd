//! How long do others wait while tables in use are brought under row-level security?
//!
//! A table of a million rows and a child that refers to it, under a steady load. Ours: what the load waits while
//! `Adoption` is at work. Baseline: what it waits alone, the same version of the service on the same tables. A
//! wait counts from when a transaction was due, so that one which blocks a client counts for all that it
//! delays. Run with `scripts/bench adoption`.

#![expect(clippy::print_stderr, reason = "a benchmark reports to its reader")]

mod shop;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use clap::Parser;
use cupel_benches::BoxError;
use cupel_benches::args::Run;
use cupel_benches::report::{Detail, Goal, Measure, Report, load_average};
use cupel_benches::server::Server;
use cupel_benches::steady::{Steady, Waits};
use hdrhistogram::Histogram;

use crate::shop::{Service, Shop};

const CLIENTS: u32 = 8;
/// How often each of them has something to do.
const PACE: Duration = Duration::from_millis(20);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: Run,
}

/// What was done to the tables, and when it began.
#[derive(Clone, Default)]
struct Timeline(Arc<Mutex<Vec<(String, Instant)>>>);

impl Timeline {
    fn now(&self, what: String) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.last().is_none_or(|(last, _)| *last != what) {
            steps.push((what, Instant::now()));
        }
    }

    /// Each step with its beginning and its end.
    fn steps(&self) -> Vec<(String, Instant, Instant)> {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = steps.iter().skip(1).map(|(_, at)| *at);
        steps.iter().zip(ends).map(|((what, from), to)| (what.clone(), *from, to)).collect()
    }
}

const ALONE_BEFORE: &str = "alone, the service as it was";
const ALONE_CORRECTED: &str = "alone, the service corrected";
const COUNTED: &str = "counted, the service as it was";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let (orders, alone) = if args.run.short { (10_000, 2) } else { (1_000_000, 60) };
    let alone = Duration::from_secs(alone);
    let load_average = load_average();
    let server = Server::start().await?;
    let shop = Shop::open(&server, orders).await?;
    eprintln!("{orders} orders prepared");
    let service = Arc::new(RwLock::new(shop.before().await?));
    let now = Arc::clone(&service);
    let steady = Steady::start(CLIENTS, PACE, move |picks| {
        let service = now.read().unwrap_or_else(PoisonError::into_inner).clone();
        async move { service.work(picks, orders.unsigned_abs()).await }
    });
    let timeline = Timeline::default();
    let waits = adopt(&shop, &service, &timeline, alone, steady).await?;
    let report = report(&timeline, &waits)?.under(format!(
        "PostgreSQL {} on loopback without fsync; {orders} orders and as many lines; {CLIENTS} clients, each with a \
         transaction every {} ms, four of ten write; alone for {} s; load average before: {load_average}",
        server.version(),
        PACE.as_millis(),
        alone.as_secs()
    ));
    report.print(args.run.format);
    server.stop().await
}

/// The whole way, as an operator goes it.
async fn adopt(
    shop: &Shop,
    service: &RwLock<Service>,
    timeline: &Timeline,
    alone: Duration,
    steady: Steady,
) -> Result<Waits, BoxError> {
    let told = timeline.clone();
    let adoption = shop.adoption().on_step(move |step| {
        told.now(format!("{}: {}", step.table, step.action));
    });
    let during = async |what: &str, time| {
        timeline.now(what.to_owned());
        eprintln!("{what}");
        tokio::time::sleep(time).await;
    };
    during("warming up", Duration::from_secs(2)).await;
    during(ALONE_BEFORE, alone).await;
    timeline.now("the roles and the schema of the shadow".to_owned());
    adoption.shadow().await?;
    during(COUNTED, alone / 4).await;
    let corrected = shop.corrected().await?;
    *service.write().unwrap_or_else(PoisonError::into_inner) = corrected;
    // The server's statistics, which count as well, are told of within a second.
    during("rolling out the service corrected", Duration::from_secs(3)).await;
    during(ALONE_CORRECTED, alone).await;
    timeline.now("the tables as they are".to_owned());
    adoption.validate().await?;
    adoption.forget().await?;
    timeline.now("what is counted, and the tables as they are".to_owned());
    adoption.enforce().await?;
    during("enforced", alone / 4).await;
    timeline.now("the end".to_owned());
    steady.stop().await
}

fn report(timeline: &Timeline, waits: &Waits) -> Result<Report, BoxError> {
    let steps = timeline.steps();
    let of = |name: &str| steps.iter().position(|(what, ..)| what == name).ok_or("no such step");
    let (before, counted, corrected, enforced) =
        (of(ALONE_BEFORE)?, of(COUNTED)?, of(ALONE_CORRECTED)?, of("enforced")?);
    let among = |from: usize, to: usize| -> Result<(Histogram<u64>, Duration), BoxError> {
        let (_, begun, _) = steps.get(from).ok_or("no such step")?;
        let (.., ended) = steps.get(to).ok_or("no such step")?;
        Ok((waits.between(*begun, *ended)?, ended.duration_since(*begun)))
    };
    let mut results = Vec::new();
    for (what, from, to, baseline) in [
        ("the shadow begins", before + 1, counted - 1, before),
        ("keys are built and policies enforced", corrected + 1, enforced - 1, corrected),
    ] {
        let ((ours, took), (baseline, _)) = (among(from, to)?, among(baseline, baseline)?);
        let what = format!("{what} ({:.1} s)", took.as_secs_f64());
        for (point, quantile) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
            let millis = |it: &Histogram<u64>| millis(it, quantile);
            let name = format!("{what}: {point}");
            results.push(Measure::new(name, millis(&ours), millis(&baseline), "ms", Goal::None));
        }
    }
    let mut details = Vec::new();
    for (at, (what, from, to)) in steps.iter().enumerate() {
        let (times, _) = among(at, at)?;
        let took = to.duration_since(*from).as_secs_f64() * 1e3;
        let figures = vec![
            ("took, ms", took),
            ("p50, ms", millis(&times, 0.5)),
            ("p99, ms", millis(&times, 0.99)),
            ("longest, ms", millis(&times, 1.0)),
        ];
        details.push(Detail::new(what.clone(), figures));
    }
    Ok(Report::new(results).with_details(details))
}

fn millis(times: &Histogram<u64>, quantile: f64) -> f64 {
    Duration::from_nanos(times.value_at_quantile(quantile)).as_secs_f64() * 1e3
}
