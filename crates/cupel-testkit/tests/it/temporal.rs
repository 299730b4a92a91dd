use std::error::Error;

use cupel_testkit::Temporal;
use tokio::net::TcpStream;
use url::Url;

#[tokio::test]
async fn starts_and_stops() -> Result<(), Box<dyn Error>> {
    let temporal = Temporal::start().await?;
    println!("{}", temporal.source());
    let address = Url::parse(temporal.address())?.socket_addrs(|| None)?;
    TcpStream::connect(address.as_slice()).await?;
    temporal.stop().await?;
    assert!(TcpStream::connect(address.as_slice()).await.is_err());
    Ok(())
}
