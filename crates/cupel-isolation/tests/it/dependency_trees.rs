//! A service that takes one layer gets that layer's client and no other.

use std::error::Error;
use std::process::Command;

/// Each layer: its crate, its feature of the facade, the client that it brings.
const LAYERS: [(&str, &str, &str); 5] = [
    ("cupel-tenant-db", "database", "sqlx"),
    ("cupel-rediskey", "cache", "redis"),
    ("cupel-queues", "queues", "temporalio-client"),
    ("cupel-k8s-iso", "cluster", "kube"),
    ("cupel-kms", "keys", "aws-sdk-kms"),
];

/// The names of all packages that a selection depends on, development aside.
fn tree(selection: &[&str]) -> Result<Vec<String>, Box<dyn Error>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(selection)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

#[track_caller]
fn holds_one_client(tree: &[String], own: &str) {
    for (_, _, client) in LAYERS {
        let held = tree.iter().any(|package| package == client);
        assert_eq!(held, client == own, "{client} in the tree of what brings {own}");
    }
    for provider in ["ring", "openssl-sys", "native-tls"] {
        assert!(!tree.iter().any(|package| package == provider), "{provider} beside {own}");
    }
}

#[test]
fn a_layer_brings_its_own_client_and_no_other() -> Result<(), Box<dyn Error>> {
    for (package, _, client) in LAYERS {
        holds_one_client(&tree(&["--package", package])?, client);
    }
    Ok(())
}

#[test]
fn a_feature_of_the_facade_brings_one_client() -> Result<(), Box<dyn Error>> {
    for (_, feature, client) in LAYERS {
        let selection = ["--package", "cupel-isolation", "--features", feature];
        holds_one_client(&tree(&selection)?, client);
    }
    Ok(())
}

#[test]
fn the_vocabulary_brings_no_client() -> Result<(), Box<dyn Error>> {
    let tree = tree(&["--package", "cupel-tenant", "--all-features"])?;
    assert!(tree.iter().any(|package| package == "thiserror"), "the tree was read");
    for (_, _, client) in LAYERS {
        assert!(!tree.iter().any(|package| package == client), "{client}");
    }
    assert!(!tree.iter().any(|package| package == "tokio"), "tokio");
    Ok(())
}
