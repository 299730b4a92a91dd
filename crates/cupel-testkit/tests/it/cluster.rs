use std::error::Error;

use cupel_testkit::Cluster;

#[tokio::test]
async fn starts_and_stops() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await?;
    println!("{}", cluster.source());
    assert_eq!(std::fs::read_to_string(cluster.kubeconfig_path())?, cluster.kubeconfig());
    let path = cluster.kubeconfig_path().to_owned();
    cluster.stop().await?;
    assert!(!path.exists());
    Ok(())
}
