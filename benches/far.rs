//! A server that is further away than loopback.

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// Returns the URL of the same database over a way on which each answer takes `delay` longer.
pub(crate) async fn far_away(url: &str, delay: Duration) -> Result<String, Box<dyn Error>> {
    let mut far: Url = url.parse()?;
    let near = format!("{}:{}", far.host_str().ok_or("no host")?, far.port().ok_or("no port")?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    far.set_host(Some("127.0.0.1"))?;
    far.set_port(Some(listener.local_addr()?.port())).map_err(|()| "no port")?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            client.set_nodelay(true)?;
            let server = TcpStream::connect(near.clone()).await?;
            server.set_nodelay(true)?;
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 65_536];
                loop {
                    let count = from_server.read(&mut bytes).await?;
                    tokio::time::sleep(delay).await;
                    match bytes.get(..count) {
                        Some(answer) if count > 0 => to_client.write_all(answer).await?,
                        _ => return std::io::Result::Ok(()),
                    }
                }
            });
        }
        std::io::Result::Ok(())
    });
    Ok(far.into())
}
