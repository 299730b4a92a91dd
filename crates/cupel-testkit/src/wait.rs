//! Waiting for a server to answer.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time;
use tokio::time::Instant;

use crate::Error;
use crate::Service;
use crate::error::BoxError;
use crate::running::Running;

/// How long a server may take to answer. The slowest, a control plane, takes three seconds on an
/// idle machine; the rest is for busy ones.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(90);

/// How long one answer may take: a connection that is accepted too early is never answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How often a server is asked.
const EVERY: Duration = Duration::from_millis(25);

/// How often a local server is started again on other ports.
///
/// A port is free when it is chosen, and may be taken when the server comes to it.
const STARTS: usize = 3;

/// Returns a loopback port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, Error> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::machine("find a free port"))
}

/// Asks until the answer is good, a process has ended, or time is up.
pub(crate) async fn until_ready<F>(
    service: Service,
    running: &Running,
    mut ask: impl FnMut() -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(), BoxError>>,
{
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let answer = time::timeout(ANSWER_WITHIN, ask()).await;
        if matches!(answer, Ok(Ok(()))) {
            return Ok(());
        }
        if let Some(log) = running.ended().await {
            return Err(Error::Failed { service, what: "ended while it started", log });
        }
        if Instant::now() >= deadline {
            let log = running.last_words();
            return Err(Error::Failed { service, what: "was not ready in time", log });
        }
        time::sleep(EVERY).await;
    }
}

/// Starts a local server, again if it ends at once.
pub(crate) async fn start_again<T, F>(mut start: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut tried = 1;
    loop {
        match start().await {
            Err(Error::Failed { .. }) if tried < STARTS => tried += 1,
            settled => return settled,
        }
    }
}

/// Connects to a port.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    time::timeout(Duration::from_secs(5), TcpStream::connect((host, port))).await?
}
