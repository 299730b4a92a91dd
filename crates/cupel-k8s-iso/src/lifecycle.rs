use std::time::Duration;

use async_trait::async_trait;
use cupel_tenant::{
    Attempt, Changes, Erasure, Finding, Health, IsolationLayer, LayerError, LayerName, OrgId,
    OrgPair, OrgSpec,
};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, Pod, Secret, Service};
use kube::Resource;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;

use crate::manifest::Kind;
use crate::names::ORG_LABEL;
use crate::objects::suspended;
use crate::wait::Patience;
use crate::{Error, NamespaceName, TenantCluster};

/// How long pods may take to end: twice the grace period that Kubernetes gives them unasked (30 s).
const PODS_DEADLINE: Duration = Duration::from_secs(60);

/// How long a namespace may take to go. An empty one takes about 5 s.
const NAMESPACE_DEADLINE: Duration = Duration::from_secs(120);

#[async_trait]
impl IsolationLayer for TenantCluster {
    fn name(&self) -> LayerName {
        LayerName::Cluster
    }

    async fn health(&self) -> Result<Health, LayerError> {
        self.check_health().await.map_err(|error| error.while_doing("asking for its health"))
    }

    async fn provision(&self, spec: &OrgSpec) -> Result<Changes, LayerError> {
        self.apply(spec).await.map_err(|error| error.while_doing("provisioning"))
    }

    async fn audit(&self, org: &OrgId) -> Result<Vec<Finding>, LayerError> {
        crate::audit::audit(self, org).await.map_err(|error| error.while_doing("auditing"))
    }

    async fn prove(&self, pair: &OrgPair) -> Result<Vec<Attempt>, LayerError> {
        crate::attacks::prove(self, pair).await.map_err(|error| error.while_doing("proving"))
    }

    async fn suspend(&self, org: &OrgId) -> Result<(), LayerError> {
        self.stop(org).await.map_err(|error| error.while_doing("suspending"))
    }

    async fn resume(&self, org: &OrgId) -> Result<(), LayerError> {
        self.restart(org).await.map_err(|error| error.while_doing("resuming"))
    }

    async fn erase(&self, org: &OrgId) -> Result<Erasure, LayerError> {
        self.delete(org).await.map_err(|error| error.while_doing("erasing"))
    }
}

impl TenantCluster {
    async fn check_health(&self) -> Result<Health, Error> {
        let namespaces = self
            .api(Kind::Namespace, None)
            .list_metadata(&ListParams::default().labels(ORG_LABEL))
            .await
            .map_err(|source| Error::of("list namespaces", source))?;
        let detail = format!(
            "{} organizations, as {}; whether the network enforces policies is not probed",
            namespaces.items.len(),
            self.username()
        );
        let endpoint = self.anonymous().cluster_url.to_string();
        Ok(Health::new("Kubernetes", self.version(), endpoint.trim_end_matches('/'), detail))
    }

    /// Refuses pods from now on, and ends those that run. Deployments and the like stay as they are,
    /// so that resuming brings back what ran.
    #[tracing::instrument(level = "debug", skip_all, fields(%org))]
    async fn stop(&self, org: &OrgId) -> Result<(), Error> {
        self.require_manager()?;
        if self.own_namespace(org).await?.is_none() {
            return Err(Error::NotProvisioned { org: org.clone() });
        }
        let name = NamespaceName::of(org);
        let quota = suspended(&name);
        self.put(&quota, &mut Changes::none()).await?;
        self.wait_for_quota(&quota).await?;
        self.end_pods(&name).await
    }

    async fn end_pods(&self, name: &NamespaceName) -> Result<(), Error> {
        let pods: Api<Pod> = Api::namespaced(self.client().clone(), name.as_str());
        let all = ListParams::default();
        pods.delete_collection(&DeleteParams::background(), &all)
            .await
            .map_err(|source| Error::of("delete pods", source))?;
        let patience = Patience::with("the pods did not end", PODS_DEADLINE);
        let listed = |source| Error::of("list pods", source);
        while !pods.list_metadata(&all).await.map_err(listed)?.items.is_empty() {
            patience.pause().await?;
        }
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, fields(%org))]
    async fn restart(&self, org: &OrgId) -> Result<(), Error> {
        self.require_manager()?;
        if self.own_namespace(org).await?.is_none() {
            return Err(Error::NotProvisioned { org: org.clone() });
        }
        let quota = suspended(&NamespaceName::of(org));
        let quotas = self.api(quota.kind(), quota.namespace());
        match quotas.delete(quota.name(), &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(source) => return Err(Error::of("delete a quota", source)),
        }
        let patience = Patience::with("the suspension was not lifted", PODS_DEADLINE);
        while self.read(quota.kind(), quota.namespace(), quota.name()).await?.is_some() {
            patience.pause().await?;
        }
        Ok(())
    }

    /// Deletes the namespace, after its pods: while they run, its policies hold.
    #[tracing::instrument(level = "debug", skip_all, fields(%org))]
    async fn delete(&self, org: &OrgId) -> Result<Erasure, Error> {
        self.require_manager()?;
        let name = NamespaceName::of(org);
        let mut erasure = Erasure::none();
        match self.own_namespace(org).await {
            Ok(None) => {}
            // An earlier erasure got this far.
            Err(Error::Terminating { .. }) => self.wait_until_gone(&name).await?,
            Err(error) => return Err(error),
            Ok(Some(live)) => {
                erasure.erased("pods", self.count::<Pod>(&name).await?);
                erasure.erased("config maps", self.count::<ConfigMap>(&name).await?);
                erasure.erased("secrets", self.count::<Secret>(&name).await?);
                erasure.erased("services", self.count::<Service>(&name).await?);
                self.stop(org).await?;
                let uid = live.pointer("/metadata/uid").and_then(|uid| uid.as_str());
                let ours = Preconditions { uid: uid.map(str::to_owned), resource_version: None };
                self.api(Kind::Namespace, None)
                    .delete(name.as_str(), &DeleteParams::background().preconditions(ours))
                    .await
                    .map_err(|source| Error::of("delete a namespace", source))?;
                self.wait_until_gone(&name).await?;
                erasure.erased("namespace", 1);
            }
        }
        self.scan(&name, &mut erasure).await?;
        Ok(erasure)
    }

    /// Looks for what a namespace's deletion leaves: namespaces under another name that carry the
    /// organization's label, and volumes that were claimed in it and are retained.
    async fn scan(&self, name: &NamespaceName, erasure: &mut Erasure) -> Result<(), Error> {
        let failed = |source| Error::of("scan for what is left", source);
        let labelled = ListParams::default().labels(&format!("{ORG_LABEL}={}", name.org_id()));
        let namespaces =
            self.api(Kind::Namespace, None).list_metadata(&labelled).await.map_err(failed)?;
        erasure.left("namespaces", count_of(namespaces.items.len()));
        let volumes: Api<PersistentVolume> = Api::all(self.client().clone());
        let volumes = volumes.list(&ListParams::default()).await.map_err(failed)?;
        let claimed = volumes.items.iter().filter(|volume| {
            let spec = volume.spec.as_ref();
            let claim = spec.and_then(|spec| spec.claim_ref.as_ref());
            claim.and_then(|claim| claim.namespace.as_deref()) == Some(name.as_str())
        });
        erasure.left("persistent volumes", count_of(claimed.count()));
        Ok(())
    }

    async fn wait_until_gone(&self, name: &NamespaceName) -> Result<(), Error> {
        let patience = Patience::with("the namespace was not gone", NAMESPACE_DEADLINE);
        while self.read(Kind::Namespace, None, name.as_str()).await?.is_some() {
            patience.pause().await?;
        }
        Ok(())
    }

    async fn count<K>(&self, name: &NamespaceName) -> Result<u64, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.client().clone(), name.as_str());
        let list = api
            .list_metadata(&ListParams::default())
            .await
            .map_err(|source| Error::of("count objects", source))?;
        Ok(count_of(list.items.len()))
    }
}

fn count_of(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}
