//! A proxy between the client and a real server, that lies in one chosen way.
//!
//! Each lie takes a guard away where it works: on the wire. The client is the one that ships.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A command: its name and its arguments.
pub(crate) type Command = Vec<Vec<u8>>;

/// What the proxy does differently from the server.
pub(crate) trait Lie: Send + Sync + 'static {
    /// Replaces a command by the one to send.
    fn command(&self, command: Command) -> Command;

    /// Replaces a text of the answer to `asked`, the command before it was replaced. `at` counts the
    /// texts of one answer.
    fn text(&self, asked: &Command, at: usize, text: Vec<u8>) -> Vec<u8>;
}

/// A lying proxy, which ends when it is dropped.
pub(crate) struct Proxy {
    url: String,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts to lie about the server at `url`.
    pub(crate) async fn start(url: &str, lie: impl Lie) -> Result<Self, Box<dyn Error>> {
        let server = url.trim_start_matches("redis://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("redis://{}", listener.local_addr()?);
        let lie: Arc<dyn Lie> = Arc::new(lie);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (server, lie) = (server.clone(), Arc::clone(&lie));
                connections.spawn(async move {
                    // It ends with an error when either side hangs up.
                    let _ended = carry(client, &server, lie.as_ref()).await;
                });
            }
        });
        Ok(Self { url, _tasks: tasks })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Carries commands and answers, one after the other.
async fn carry(client: TcpStream, server: &str, lie: &dyn Lie) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_in, mut client_out) = client.into_split();
    let (server_in, mut server_out) = server.into_split();
    let (mut client_in, mut server_in) = (BufReader::new(client_in), BufReader::new(server_in));
    loop {
        let asked = read_command(&mut client_in).await?;
        write_command(&mut server_out, &lie.command(asked.clone())).await?;
        answer(&mut server_in, &mut client_out, lie, &asked).await?;
    }
}

async fn read_command(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Command> {
    let (_, count) = header(from).await?;
    let mut command = Vec::new();
    for _ in 0..count {
        let (_, len) = header(from).await?;
        command.push(bytes(from, len).await?);
    }
    Ok(command)
}

async fn write_command(to: &mut OwnedWriteHalf, command: &Command) -> io::Result<()> {
    let mut out = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        out.extend(format!("${}\r\n", part.len()).into_bytes());
        out.extend(part);
        out.extend(b"\r\n");
    }
    to.write_all(&out).await
}

/// Reads one answer, replaces its texts, and passes it on.
async fn answer(
    from: &mut BufReader<OwnedReadHalf>,
    to: &mut OwnedWriteHalf,
    lie: &dyn Lie,
    asked: &Command,
) -> io::Result<()> {
    let (mut out, mut open, mut texts) = (Vec::new(), 1_usize, 0);
    while open > 0 {
        open -= 1;
        let line = line(from).await?;
        let number = || str::from_utf8(&line).ok()?.get(1..)?.trim_end().parse::<i64>().ok();
        match (line.first(), number().map(usize::try_from)) {
            (Some(b'*'), Some(Ok(count))) => {
                open += count;
                out.extend(&line);
            }
            (Some(b'$'), Some(Ok(len))) => {
                let text = lie.text(asked, texts, bytes(from, len).await?);
                texts += 1;
                out.extend(format!("${}\r\n", text.len()).into_bytes());
                out.extend(text);
                out.extend(b"\r\n");
            }
            (Some(b'$'), _) => {
                texts += 1;
                out.extend(&line);
            }
            _ => out.extend(&line),
        }
    }
    to.write_all(&out).await
}

async fn header(from: &mut BufReader<OwnedReadHalf>) -> io::Result<(u8, usize)> {
    let mut line = VecDeque::from(line(from).await?);
    let kind = line.pop_front().ok_or(io::ErrorKind::InvalidData)?;
    let number = String::from_utf8(line.into()).map_err(|_| io::ErrorKind::InvalidData)?;
    let number = number.trim_end().parse().map_err(|_| io::ErrorKind::InvalidData)?;
    Ok((kind, number))
}

async fn line(from: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    match from.read_until(b'\n', &mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}

async fn bytes(from: &mut BufReader<OwnedReadHalf>, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len + 2];
    from.read_exact(&mut bytes).await?;
    bytes.truncate(len);
    Ok(bytes)
}
