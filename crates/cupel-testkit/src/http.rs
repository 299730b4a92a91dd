//! As much of HTTP as it takes to ask whether a server is ready.

use std::io;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::error::BoxError;

/// Where the status stands in `HTTP/1.1 200 OK` (RFC 9112, section 4).
const STATUS: std::ops::Range<usize> = 9..12;

/// Asks `at`, which is `HOST:PORT`, for a path and expects the answer 200.
pub(crate) async fn get(at: &str, path: &str) -> Result<(), BoxError> {
    get_on(TcpStream::connect(at).await?, at, path, "").await
}

/// Asks on a connection that is there; `headers` are whole lines.
pub(crate) async fn get_on(
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    path: &str,
    headers: &str,
) -> Result<(), BoxError> {
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    server.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    server.read_exact(&mut answer).await?;
    match answer.get(STATUS) {
        Some(b"200") => Ok(()),
        _ => Err(io::Error::other("it answers, but it is not ready").into()),
    }
}
