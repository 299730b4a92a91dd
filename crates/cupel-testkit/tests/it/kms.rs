use std::error::Error;

use cupel_testkit::Kms;
use tokio::net::TcpStream;
use url::Url;

#[tokio::test]
async fn starts_and_stops() -> Result<(), Box<dyn Error>> {
    let kms = Kms::start().await?;
    println!("{}", kms.source());
    let address = Url::parse(kms.endpoint())?.socket_addrs(|| None)?;
    TcpStream::connect(address.as_slice()).await?;
    kms.stop().await?;
    assert!(TcpStream::connect(address.as_slice()).await.is_err());
    Ok(())
}
