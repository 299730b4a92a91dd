//! Holds servers for whoever needs some: `testbed [postgres|redis|temporal|kms|cluster]...`
//!
//! Prints a line `VARIABLE=VALUE` for each, which makes the tests of other processes use it, and
//! ends with its standard input. Without arguments it starts them all.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to its user")]

use std::error::Error;
use std::process::ExitCode;

use cupel_testkit::Cluster;
use cupel_testkit::Kms;
use cupel_testkit::Postgres;
use cupel_testkit::Redis;
use cupel_testkit::Source;
use cupel_testkit::Temporal;
use tokio::io;

const ALL: [&str; 5] = ["postgres", "redis", "temporal", "kms", "cluster"];

#[tokio::main]
async fn main() -> ExitCode {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.iter().any(|name| !ALL.contains(&name.as_str())) {
        eprintln!("usage: testbed [{}]...", ALL.join("|"));
        return ExitCode::from(2);
    }
    if names.is_empty() {
        names = ALL.map(str::to_owned).to_vec();
    }
    match hold(&names).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("testbed: {err}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the servers and waits for the end of standard input.
async fn hold(names: &[String]) -> Result<(), Box<dyn Error>> {
    for name in names {
        match name.as_str() {
            "postgres" => {
                let it = Postgres::shared().await?;
                tell(it.source(), "TESTBED_POSTGRES_URL", it.url());
            }
            "redis" => {
                let it = Redis::shared().await?;
                tell(it.source(), "TESTBED_REDIS_URL", it.url());
            }
            "temporal" => {
                let it = Temporal::shared().await?;
                tell(it.source(), "TESTBED_TEMPORAL_ADDRESS", it.address());
            }
            "kms" => {
                let it = Kms::shared().await?;
                tell(it.source(), "TESTBED_KMS_ENDPOINT", it.endpoint());
            }
            _ => {
                let it = Cluster::shared().await?;
                let path = it.kubeconfig_path().display().to_string();
                tell(it.source(), "TESTBED_KUBECONFIG", &path);
            }
        }
    }
    io::copy(&mut io::stdin(), &mut io::sink()).await?;
    Ok(())
}

fn tell(source: &Source, variable: &str, value: &str) {
    eprintln!("{source}");
    println!("{variable}={value}");
}
