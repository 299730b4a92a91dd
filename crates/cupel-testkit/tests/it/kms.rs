use std::error::Error;

use cupel_testkit::Kms;

#[tokio::test]
async fn starts_and_stops() -> Result<(), Box<dyn Error>> {
    let kms = Kms::start().await?;
    let endpoint = kms.endpoint().to_owned();
    println!("{}", kms.source());
    reqwest::get(&endpoint).await?;
    kms.stop().await?;
    assert!(reqwest::get(&endpoint).await.is_err());
    Ok(())
}
