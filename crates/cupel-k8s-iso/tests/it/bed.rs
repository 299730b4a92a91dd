use std::error::Error;

use cupel_k8s_iso::{Blueprint, ClusterConfig, ControlPlane, TenantCluster};
use cupel_tenant::{Attempt, IsolationLayer, OrgPair, OrgSpec, Outcome, Tier};
use cupel_testkit::Cluster;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

pub(crate) type Outcomes = Result<(), Box<dyn Error>>;

/// The guards belong to the whole cluster. Tests that take one out are alone in it.
static GUARDS: RwLock<()> = RwLock::const_new(());

pub(crate) async fn shared() -> RwLockReadGuard<'static, ()> {
    GUARDS.read().await
}

pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    GUARDS.write().await
}

pub(crate) fn blueprint() -> Blueprint {
    Blueprint::default().control_plane(ControlPlane::new("cupel-system").ports([7233]))
}

pub(crate) async fn kubeconfig() -> Result<&'static str, Box<dyn Error>> {
    Ok(Cluster::shared().await?.kubeconfig())
}

pub(crate) async fn cluster() -> Result<TenantCluster, Box<dyn Error>> {
    let config = ClusterConfig::from_text(kubeconfig().await?);
    Ok(TenantCluster::connect(config, blueprint()).await?)
}

/// A kubeconfig of an account that has no rights and is nobody's.
pub(crate) async fn kubeconfig_of_default_account() -> Result<String, Box<dyn Error>> {
    let accounts: Api<ServiceAccount> = Api::namespaced(admin().await?, "default");
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": { "audiences": [] },
    });
    let answer: TokenRequest =
        accounts.create_subresource("token", "default", &PostParams::default(), &request).await?;
    let mut config: serde_json::Value = serde_yaml_ng::from_str(kubeconfig().await?)?;
    for user in config.pointer_mut("/users").unwrap().as_array_mut().unwrap() {
        *user.pointer_mut("/user").unwrap() =
            json!({ "token": answer.status.as_ref().unwrap().token });
    }
    Ok(config.to_string())
}

/// A client of the cluster's administrator, for what an administrator can break.
pub(crate) async fn admin() -> Result<Client, Box<dyn Error>> {
    client(kubeconfig().await?).await
}

pub(crate) async fn client(kubeconfig: &str) -> Result<Client, Box<dyn Error>> {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Ok(Client::try_from(config)?)
}

pub(crate) fn pair() -> OrgPair {
    OrgPair::canary(Uuid::new_v4())
}

pub(crate) async fn onboard(cluster: &TenantCluster, pair: &OrgPair) -> Outcomes {
    for org in [pair.first(), pair.second()] {
        cluster.provision(&OrgSpec::new(org.clone(), Tier::STANDARD)).await?;
    }
    Ok(())
}

pub(crate) async fn offboard(cluster: &TenantCluster, pair: &OrgPair) -> Outcomes {
    let (first, second) = tokio::join!(cluster.erase(pair.first()), cluster.erase(pair.second()));
    assert!(first?.is_complete() && second?.is_complete());
    Ok(())
}

pub(crate) fn leaked(attempts: &[Attempt]) -> Vec<&'static str> {
    let leaks = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Leaked);
    let mut names: Vec<_> = leaks.map(|attempt| attempt.attack).collect();
    names.sort_unstable();
    names.dedup();
    names
}
