//! How much do others get out of the same server?
//!
//! Ours: `begin(&scope)`, one statement by primary key, `commit`, in each of the three modes. Baselines: the
//! source document's SQLAlchemy session factory in one process and in two, tenaxum 0.2 both ways, sqlx by hand,
//! and pgbench, which is the floor. 32 clients and pools of ten; all in turns on one server, each on a table of
//! its own with the same rows. Run with `scripts/bench tenant-db-peers`.

#![expect(clippy::print_stderr, reason = "a benchmark reports to its reader")]

mod contenders;
mod pgbench;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use cupel_benches::args::Run;
use cupel_benches::load::median;
use cupel_benches::report::{Detail, Goal, Measure, Report, load_average};
use cupel_benches::server::Server;
use cupel_benches::{BoxError, same_table};
use cupel_tenant_db::ContextMode;

use crate::contenders::{CLIENTS, CONNECTIONS, ORGS, Side, Work};
use crate::pgbench::Protocol;

/// At least so many times the throughput of a peer.
const GOAL: Goal = Goal::AtLeast(2.00);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    run: Run,
    /// The program of `benches/peers/tenaxum`.
    #[arg(long)]
    tenaxum: PathBuf,
    /// A Python that has SQLAlchemy.
    #[arg(long)]
    python: PathBuf,
}

/// A side and what came of it.
struct Contender {
    name: &'static str,
    goal: Option<Goal>,
    side: Side,
    rates: Vec<f64>,
    transactions: f64,
    server: Duration,
    client: Duration,
}

impl Contender {
    fn new(name: &'static str, goal: Option<Goal>, side: Side) -> Self {
        let (server, client) = (Duration::ZERO, Duration::ZERO);
        Self { name, goal, side, rates: Vec::new(), transactions: 0.0, server, client }
    }

    /// One of ours, which the others are measured against.
    fn is_ours(&self) -> bool {
        self.goal.is_none()
    }

    fn takes_part_in(&self, work: Work) -> bool {
        work != Work::SingleRead || self.is_ours() || self.name == HOOKS
    }

    async fn round(&mut self, server: &Server, work: Work, time: u64) -> Result<(), BoxError> {
        let (server_before, client_before) = (server.cpu()?, self.side.cpu()?);
        let round = self.side.round(work, time).await?;
        self.server += server.cpu()?.saturating_sub(server_before);
        self.client += self.side.cpu()?.saturating_sub(client_before);
        self.transactions += round.transactions;
        self.rates.push(round.per_second);
        Ok(())
    }

    fn forget(&mut self) {
        self.rates.clear();
        (self.transactions, self.server, self.client) = (0.0, Duration::ZERO, Duration::ZERO);
    }
}

const HOOKS: &str = "tenaxum 0.2, pool hooks";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    let (rounds, time) = if args.run.short { (1, 1) } else { (7, 3) };
    let load_average = load_average();
    let server = Server::start().await?;
    let mut contenders = contenders(&args, &server).await?;
    let (mut results, mut details) = (Vec::new(), Vec::new());
    for work in [Work::TransactionRead, Work::TransactionWrite, Work::SingleRead] {
        let mut taking_part: Vec<&mut Contender> =
            contenders.iter_mut().filter(|it| it.takes_part_in(work)).collect();
        for it in &mut taking_part {
            it.round(&server, work, 1).await?;
            it.forget();
        }
        for round in 1..=rounds {
            for it in &mut taking_part {
                it.round(&server, work, time).await?;
            }
            eprintln!("{}: round {round} of {rounds}", work.as_str());
        }
        for ours in taking_part.iter().filter(|it| it.is_ours()) {
            for theirs in taking_part.iter().filter(|it| !it.is_ours()) {
                let name = format!("{}: {}, against {}", ours.name, work.as_str(), theirs.name);
                let (ours, baseline) = (rate(ours), rate(theirs));
                let goal = theirs.goal.unwrap_or(Goal::None);
                results.push(Measure::new(name, ours, baseline, "/s", goal));
            }
        }
        details.extend(taking_part.iter().map(|it| detail(it, work)));
        taking_part.into_iter().for_each(Contender::forget);
    }
    let conditions = format!(
        "PostgreSQL {} on loopback without fsync; {CLIENTS} clients, {CONNECTIONS} connections; medians, \
         rounds of {time} s: {rounds}; load average before: {load_average}",
        server.version()
    );
    let report = Report::new(results).under(conditions).with_details(details);
    report.print(args.run.format);
    Ok(())
}

async fn contenders(args: &Args, server: &Server) -> Result<Vec<Contender>, BoxError> {
    let mut contenders = Vec::new();
    let mut plain = String::new();
    for mode in [ContextMode::Plain, ContextMode::Register, ContextMode::Sealed] {
        let url = same_table::ours(server, mode, ORGS).await?;
        if mode == ContextMode::Plain {
            plain.clone_from(&url);
        }
        contenders.push(Contender::new(mode.as_str(), None, Side::cupel(&url, mode).await?));
    }
    let document = same_table::theirs(server, same_table::DOCUMENT, ORGS).await?;
    for (name, processes) in
        [("SQLAlchemy's session, one process", 1), ("SQLAlchemy's session, two processes", 2)]
    {
        let side = Side::sqlalchemy(&args.python, &document, processes).await?;
        contenders.push(Contender::new(name, Some(GOAL), side));
    }
    let url = same_table::theirs(server, same_table::TENAXUM, ORGS).await?;
    for (name, way) in [(HOOKS, "hooks"), ("tenaxum 0.2, begin_tenant", "begin")] {
        let side = Side::tenaxum(&args.tenaxum, &url, way).await?;
        contenders.push(Contender::new(name, Some(GOAL), side));
    }
    let by_hand = Side::by_hand(&document).await?;
    contenders.push(Contender::new("sqlx by hand", Some(Goal::None), by_hand));
    for (name, protocol) in [
        ("pgbench, planned each time", Protocol::Simple),
        ("pgbench, prepared", Protocol::Prepared),
        ("pgbench, prepared and pipelined", Protocol::Pipelined),
    ] {
        let side =
            Side::Pgbench { program: server.program("pgbench"), url: plain.clone(), protocol };
        contenders.push(Contender::new(name, Some(Goal::None), side));
    }
    Ok(contenders)
}

fn rate(contender: &Contender) -> f64 {
    median(&mut contender.rates.clone())
}

/// What a transaction takes of the processors, on either side of the connection.
fn detail(contender: &Contender, work: Work) -> Detail {
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / contender.transactions;
    Detail::new(
        format!("{}: {}", contender.name, work.as_str()),
        vec![
            ("per second", rate(contender)),
            ("µs of the server's processor", micros(contender.server)),
            ("µs of the client's processor", micros(contender.client)),
        ],
    )
}
