//! Two organizations at work in five layers, and then attacking each other.
//!
//! Brings up the servers, onboards `acme-corp` and `globex`, does a day's work for each, attacks each as
//! the other, and prints what was tried and what its rightful owner could do. Exits with 1 on any leak
//! or failed control. Run with `scripts/demo [--format json]`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to its reader")]

mod bed;
mod day;
mod pipeline_run;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use cupel_isolation::{Isolation, OrgId, OrgPair, OrgSpec, Tier, report};

#[derive(Parser)]
struct Args {
    /// Text, or JSON on standard output and nothing else there.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.format).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", report::chain(error.as_ref()).join("\n  because: "));
            ExitCode::from(2)
        }
    }
}

async fn run(format: Format) -> Result<ExitCode, Box<dyn Error>> {
    let begun = Instant::now();
    let say = |line: &str| eprintln!("{:5.1} s  {line}", begun.elapsed().as_secs_f64());

    say("starting servers");
    let config = bed::start(&say).await?;
    let isolation = Isolation::connect(&config).await?;

    let acme: OrgId = "acme-corp".parse()?;
    let globex: OrgId = "globex".parse()?;
    say("onboarding acme-corp (enterprise) and globex (standard)");
    isolation.onboard(OrgSpec::new(acme.clone(), Tier::ENTERPRISE)).await?;
    isolation.onboard(OrgSpec::new(globex.clone(), Tier::STANDARD)).await?;

    say("a day's work: rows, schema, status, session, credential, 50 runs, namespace");
    let (of_acme, of_globex) =
        tokio::try_join!(day::work(&isolation, &acme), day::work(&isolation, &globex))?;
    say(&format!("  acme-corp: {of_acme}"));
    say(&format!("  globex:    {of_globex}"));

    say("attacking each as the other");
    let proof = isolation.prove_between(&OrgPair::new(acme, globex)?).await?;
    say("done");

    match format {
        Format::Text => println!("\n{}", report::proof_text(&proof)),
        Format::Json => {
            let mut json = report::proof_json(&proof);
            // Of the whole demonstration, not of the attacks alone.
            if let Some(fields) = json.as_object_mut() {
                fields.insert("seconds".to_owned(), begun.elapsed().as_secs_f64().into());
            }
            println!("{json:#}");
        }
    }
    Ok(ExitCode::from(u8::from(!proof.is_isolated())))
}
