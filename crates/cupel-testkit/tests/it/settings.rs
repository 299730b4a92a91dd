use std::error::Error as StdError;
use std::io::Write;

use cupel_testkit::Cluster;
use cupel_testkit::Error;
use cupel_testkit::Kms;
use cupel_testkit::Postgres;
use cupel_testkit::Provider;
use cupel_testkit::Redis;
use cupel_testkit::Service;
use cupel_testkit::Settings;
use cupel_testkit::Temporal;

/// Settings of these variables and no others.
fn settings(variables: &[(&str, &str)]) -> Result<Settings, Error> {
    Settings::from_lookup(|asked| {
        variables.iter().find(|(name, _)| *name == asked).map(|(_, value)| (*value).to_owned())
    })
}

#[tokio::test]
async fn a_provider_that_does_not_exist_is_refused() {
    for typo in ["docker", "Local", "local "] {
        let refused = settings(&[("TESTBED_PROVIDER", typo)]);
        assert!(matches!(refused, Err(Error::InvalidSetting { variable: "TESTBED_PROVIDER", .. })));
    }
    assert!(settings(&[("TESTBED_PROVIDER", "")]).is_ok(), "set to nothing is not set");
}

#[tokio::test]
async fn what_is_not_there_is_named_with_its_remedy() -> Result<(), Box<dyn StdError>> {
    let nothing = settings(&[("TESTBED_PROVIDER", "local"), ("PATH", ""), ("HOME", "/nowhere")])?;
    let failures = [
        (Redis::start_with(&nothing).await.err(), Service::Redis, "scripts/install redis"),
        (Temporal::start_with(&nothing).await.err(), Service::Temporal, "scripts/install temporal"),
        (Kms::start_with(&nothing).await.err(), Service::Kms, "scripts/install kms"),
        (Cluster::start_with(&nothing).await.err(), Service::Cluster, "scripts/install kubernetes"),
    ];
    for (failure, expected, remedy) in failures {
        let failure = failure.ok_or("nothing is there to be started")?;
        assert!(failure.to_string().contains(remedy), "{failure}");
        assert!(matches!(failure, Error::NotFound { service, .. } if service == expected));
    }
    Ok(())
}

#[tokio::test]
async fn who_asks_for_containers_gets_no_other_server() -> Result<(), Box<dyn StdError>> {
    let path = std::env::var("PATH")?;
    // Everything is here that a local server takes; what is missing is Docker.
    let folder = tempfile::tempdir()?;
    for program in std::env::split_paths(&path).map(|it| it.join("redis-server")) {
        if program.is_file() {
            std::os::unix::fs::symlink(program, folder.path().join("redis-server"))?;
            break;
        }
    }
    let path = folder.path().to_str().ok_or("a path in UTF-8")?;
    let only = settings(&[("TESTBED_PROVIDER", "container"), ("PATH", path)])?;
    let refused = Redis::start_with(&only).await;
    assert!(matches!(refused, Err(Error::NoEngine { service: Service::Redis })));

    let any = settings(&[("PATH", path)])?;
    let redis = Redis::start_with(&any).await?;
    assert_eq!(redis.source().provider(), Provider::Local);
    redis.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_image_that_cannot_be_had_leads_to_the_local_program() -> Result<(), Box<dyn StdError>> {
    let path = std::env::var("PATH")?;
    let image = "localhost:1/no-such-image:1";
    let redis =
        Redis::start_with(&settings(&[("TESTBED_IMAGE_REDIS", image), ("PATH", &path)])?).await?;
    assert_eq!(redis.source().provider(), Provider::Local);
    redis.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_of_the_environment_is_taken_and_left_alone() -> Result<(), Box<dyn StdError>> {
    let theirs = Postgres::start().await?;
    let named = settings(&[("TESTBED_POSTGRES_URL", theirs.url()), ("TESTBED_PROVIDER", "local")])?;
    let ours = Postgres::start_with(&named).await?;
    assert_eq!(ours.source().provider(), Provider::Environment);
    assert_eq!(ours.url(), theirs.url());
    let described = ours.source().to_string();
    assert!(described.starts_with("PostgreSQL: environment TESTBED_POSTGRES_URL on "));
    assert!(!described.contains("postgres:postgres"), "the password is not told: {described}");
    ours.stop().await?;
    theirs.database().await?; // still there
    theirs.stop().await?;

    let gone = Postgres::start_with(&named).await;
    assert!(matches!(gone, Err(Error::Unreachable { variable: "TESTBED_POSTGRES_URL", .. })));
    Ok(())
}

#[tokio::test]
async fn endpoints_that_are_no_endpoints_are_refused() -> Result<(), Box<dyn StdError>> {
    let broken = |variable| settings(&[(variable, "not a place")]);
    let failures = [
        Postgres::start_with(&broken("TESTBED_POSTGRES_URL")?).await.err(),
        Redis::start_with(&broken("TESTBED_REDIS_URL")?).await.err(),
        Temporal::start_with(&broken("TESTBED_TEMPORAL_ADDRESS")?).await.err(),
        Kms::start_with(&broken("TESTBED_KMS_ENDPOINT")?).await.err(),
    ];
    for failure in failures {
        assert!(matches!(failure, Some(Error::InvalidSetting { .. })), "{failure:?}");
    }
    let cluster = Cluster::start_with(&broken("TESTBED_KUBECONFIG")?).await;
    assert!(matches!(cluster, Err(Error::Unreachable { variable: "TESTBED_KUBECONFIG", .. })));
    Ok(())
}

#[tokio::test]
async fn a_server_that_ends_at_once_is_quoted() -> Result<(), Box<dyn StdError>> {
    use std::os::unix::fs::OpenOptionsExt;

    let folder = tempfile::tempdir()?;
    let mut options = std::fs::OpenOptions::new();
    let mut program =
        options.write(true).create(true).mode(0o755).open(folder.path().join("redis-server"))?;
    program.write_all(b"#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")?;
    drop(program);
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let only = settings(&[("TESTBED_PROVIDER", "local"), ("PATH", &path)])?;
    let failure = Redis::start_with(&only).await.err().ok_or("it cannot start")?;
    assert!(failure.to_string().contains("no such luck"), "{failure}");
    assert!(matches!(failure, Error::Failed { service: Service::Redis, .. }));
    Ok(())
}
