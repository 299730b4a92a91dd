use std::error::Error;

use cupel_testkit::Redis;
use tokio::net::TcpStream;
use url::Url;

#[tokio::test]
async fn starts_and_stops() -> Result<(), Box<dyn Error>> {
    let redis = Redis::start().await?;
    let address = Url::parse(redis.url())?.socket_addrs(|| None)?;
    TcpStream::connect(address.as_slice()).await?;
    println!("{}", redis.source());
    redis.stop().await?;
    assert!(TcpStream::connect(address.as_slice()).await.is_err());
    Ok(())
}
