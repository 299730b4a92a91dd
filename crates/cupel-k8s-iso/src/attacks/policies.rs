//! Network policies and quotas: what an organization may change of its own fences.

use cupel_tenant::Attempt;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::Duel;
use super::access::create;
use super::verdict::{control, observed};
use crate::names::ORG_LABEL;

const FLOOR: &str = "cupel-00-default-deny";

impl Duel<'_> {
    pub(super) async fn policies(&self) -> Vec<Attempt> {
        vec![
            self.let_the_other_in().await,
            self.reach_every_address().await,
            self.delete_the_floor().await,
            self.open_the_floor().await,
            self.raise_the_quota(None, "raise its own quota").await,
            self.raise_the_quota(Some("status"), "raise its own quota through its status").await,
        ]
    }

    /// The same policy, in the namespace of each: for the victim it names its own pods.
    async fn let_the_other_in(&self) -> Attempt {
        let org = self.victim.org.as_str();
        let peer = json!({ "namespaceSelector": { "matchLabels": { ORG_LABEL: org } } });
        let policy =
            policy(json!({ "ingress": [{ "from": [peer] }], "egress": [{ "to": [peer] }] }));
        let theirs = create::<NetworkPolicy>(self.attacker, self.attacker, &policy).await;
        let own = create::<NetworkPolicy>(self.victim, self.victim, &policy).await;
        self.conclude(
            "let the other organization in by a network policy",
            observed(&theirs, "policy accepted"),
            control(&own, "its own pods may be let in"),
        )
    }

    async fn reach_every_address(&self) -> Attempt {
        let everywhere = json!([{ "ipBlock": { "cidr": "0.0.0.0/0" } }]);
        let policy = policy(json!({ "egress": [{ "to": everywhere }] }));
        let theirs = create::<NetworkPolicy>(self.attacker, self.attacker, &policy).await;
        let platform = self.platform_creates::<NetworkPolicy>(&policy).await;
        self.conclude(
            "reach every address by a network policy",
            observed(&theirs, "policy accepted"),
            control(&platform, "the platform may"),
        )
    }

    async fn delete_the_floor(&self) -> Attempt {
        let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
        let theirs = self.attacker.own::<NetworkPolicy>().delete(FLOOR, &dry_run).await;
        let platform = self.platform::<NetworkPolicy>().delete(FLOOR, &dry_run).await;
        self.conclude(
            "delete the default-deny policy",
            observed(&theirs, "deleted"),
            control(&platform, "the platform may"),
        )
    }

    async fn open_the_floor(&self) -> Attempt {
        let patch =
            Patch::Merge(json!({ "spec": { "podSelector": { "matchLabels": { "x": "y" } } } }));
        let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
        let theirs = self.attacker.own::<NetworkPolicy>().patch(FLOOR, &dry_run, &patch).await;
        let platform = self.platform::<NetworkPolicy>().patch(FLOOR, &dry_run, &patch).await;
        self.conclude(
            "take its pods out of the default-deny policy",
            observed(&theirs, "policy changed"),
            control(&platform, "the platform may"),
        )
    }

    /// The API server admits pods by the quota's status, and takes that from its specification.
    async fn raise_the_quota(&self, subresource: Option<&str>, name: &'static str) -> Attempt {
        let raise = async |quotas: Api<ResourceQuota>| {
            let part = subresource.unwrap_or("spec");
            let patch = Patch::Merge(json!({ part: { "hard": { "pods": "100000" } } }));
            let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
            match subresource {
                None => quotas.patch("cupel-compute", &dry_run, &patch).await,
                Some(_) => quotas.patch_status("cupel-compute", &dry_run, &patch).await,
            }
        };
        let theirs = raise(self.attacker.own()).await;
        let platform = raise(self.platform()).await;
        self.conclude(
            name,
            observed(&theirs, "quota raised"),
            control(&platform, "the platform may"),
        )
    }

    /// Returns the platform's view of the attacker's namespace.
    fn platform<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        let client = self.cluster.client().clone();
        Api::namespaced(client, self.attacker.namespace.as_str())
    }

    /// The platform tries to make an object in the attacker's namespace, and leaves none.
    pub(super) async fn platform_creates<K>(&self, object: &Value) -> kube::Result<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let object: K = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        self.platform::<K>().create(&dry_run, &object).await
    }
}

/// A policy over every pod of the namespace that it is put into.
fn policy(rules: Value) -> Value {
    let mut spec = json!({ "podSelector": {} });
    if let (Some(spec), Value::Object(rules)) = (spec.as_object_mut(), rules) {
        spec.extend(rules);
    }
    json!({ "metadata": { "name": "canary-policy" }, "spec": spec })
}
