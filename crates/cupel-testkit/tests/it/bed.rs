use std::error::Error;

use cupel_testkit::Service;
use cupel_testkit::TestBed;

#[tokio::test]
async fn all_servers_start_together_and_are_configured() -> Result<(), Box<dyn Error>> {
    let bed = TestBed::start().await?;
    let services = bed.sources().map(|source| source.service());
    assert_eq!(
        services,
        [Service::Postgres, Service::Redis, Service::Temporal, Service::Cluster, Service::Kms]
    );
    let config = bed.config().await?;
    for section in ["database", "cache", "queues", "cluster", "keys"] {
        assert!(config.contains(&format!("\n[{section}]\n")), "{config}");
    }
    assert_ne!(config, bed.config().await?, "each configuration has a database of its own");
    bed.stop().await?;
    Ok(())
}

#[tokio::test]
async fn only_layers_are_configured() {
    let refused = cupel_testkit::config(&["databases"]).await;
    assert!(matches!(refused, Err(cupel_testkit::Error::UnknownLayer)));
}
