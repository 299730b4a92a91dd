//! The service as a program: `pipelines-service cupel.toml`, or `pipelines-service --testbed`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program talks to whoever starts it"
)]

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use cupel_isolation::{Config, Isolation, OrgSpec, Tier};
use pipelines_service::{Claims, Service, TokenKey, Workers, app, testbed};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

/// Pipelines of many organizations, over HTTP.
#[derive(Parser)]
struct Args {
    /// The configuration.
    #[arg(required_unless_present = "testbed")]
    config: Option<PathBuf>,
    /// Start the servers too, with two organizations in them, and say how to call the service.
    #[arg(long, conflicts_with = "config")]
    testbed: bool,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// What tokens are signed with: 32 bytes or more.
    #[arg(
        long,
        env = "PIPELINES_TOKEN_SECRET",
        hide_env_values = true,
        required_unless_present = "testbed"
    )]
    token_secret: Option<SecretString>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::from(2)
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let secret = args.token_secret.unwrap_or_else(random_secret);
    let tokens = TokenKey::new(secret.expose_secret().as_bytes())?;
    let listener = TcpListener::bind(args.listen).await?;
    let isolation = match args.config {
        Some(path) => Isolation::from_config(path).await?,
        None => on_a_testbed(&tokens, listener.local_addr()?).await?,
    };

    eprintln!("listening on http://{}", listener.local_addr()?);
    // A signal ends the requests first, which may still need the workers, and then the workers.
    let (ended, end) = watch::channel(());
    let workers = tokio::spawn(Workers::new(isolation.clone()).keep_until(dropped(end)));
    let served = axum::serve(listener, app(Service::new(isolation, tokens)))
        .with_graceful_shutdown(signalled()?)
        .await;
    drop(ended);
    workers.await?;
    Ok(served?)
}

/// Starts servers, onboards two organizations, and prints how each calls the service.
async fn on_a_testbed(tokens: &TokenKey, at: SocketAddr) -> Result<Isolation, Box<dyn Error>> {
    eprintln!("starting PostgreSQL, Redis, Temporal and KMS");
    let config: Config = testbed::start().await?;
    let isolation = Isolation::connect(&config).await?;
    let ends = SystemTime::now() + Duration::from_secs(3600);
    let exp = ends.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    for (org, tier) in [("acme-corp", Tier::ENTERPRISE), ("globex", Tier::STANDARD)] {
        isolation.onboard(OrgSpec::new(org.parse()?, tier)).await?;
        let sub = format!("alice@{org}.example");
        let token = tokens.sign(&Claims { org: org.to_owned(), sub, workspace: None, exp })?;
        println!("# {org}\ncurl -H 'Authorization: Bearer {token}' http://{at}/pipelines");
    }
    Ok(isolation)
}

fn random_secret() -> SecretString {
    let random = || uuid::Uuid::new_v4().simple().to_string();
    format!("{}{}", random(), random()).into()
}

/// Whether somebody asks the process to end: ctrl-C, or the signal of a process manager.
fn signalled() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

async fn dropped(mut sender: watch::Receiver<()>) {
    while sender.changed().await.is_ok() {}
}
