//! A way to the database on which something happens to the answers.

use std::error::Error;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// What comes from the server.
pub(crate) type FromServer = BufReader<OwnedReadHalf>;
/// What goes to the client.
pub(crate) type ToClient = OwnedWriteHalf;

/// Returns the URL of the same database by a way on which `carry` hands the answers on, for each connection. It is
/// without TLS, so that they can be read.
pub(crate) async fn by_way<F>(
    url: &str,
    carry: impl Fn(FromServer, ToClient) -> F + Send + Sync + 'static,
) -> Result<String, Box<dyn Error>>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut way: Url = url.parse()?;
    let near = format!("{}:{}", way.host_str().ok_or("no host")?, way.port().ok_or("no port")?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    way.set_host(Some("127.0.0.1"))?;
    way.set_port(Some(listener.local_addr()?.port())).map_err(|()| "no port")?;
    way.set_query(Some("sslmode=disable"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(near.clone()).await?;
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(carry(BufReader::new(from_server), to_client));
        }
        io::Result::Ok(())
    });
    Ok(way.into())
}

/// A message of the server: a letter, and what comes after its length.
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) async fn read(from: &mut FromServer) -> io::Result<Self> {
        let kind = from.read_u8().await?;
        // The length counts itself.
        let length = usize::try_from(from.read_u32().await?).unwrap_or(4).saturating_sub(4);
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        Ok(Self { kind, body })
    }

    pub(crate) async fn write(&self, to: &mut ToClient) -> io::Result<()> {
        let length = u32::try_from(self.body.len() + 4).unwrap_or(4);
        let mut bytes = vec![self.kind];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.body);
        to.write_all(&bytes).await
    }
}
