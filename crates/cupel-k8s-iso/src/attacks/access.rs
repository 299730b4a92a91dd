//! Rights: what an organization's account may reach outside its own namespace.

use cupel_tenant::{Attempt, Control, Observed};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::stage::{Tenant, grant};
use super::verdict::{control, observed};
use super::workloads::ordinary_pod;
use super::{CANARY, Duel};
use crate::objects::WORKLOAD_ACCOUNT;

impl Duel<'_> {
    pub(super) async fn access(&self) -> Vec<Attempt> {
        vec![
            self.read_a_secret().await,
            self.list_everything().await,
            self.mint_a_token().await,
            self.run_a_pod_there().await,
            self.bind_itself_there().await,
        ]
    }

    async fn read_a_secret(&self) -> Attempt {
        let theirs = self.attacker.at::<Secret>(self.victim).get(CANARY).await;
        let own = self.victim.own::<Secret>().get(CANARY).await;
        let control = match &own {
            Ok(secret) => {
                let data = secret.data.as_ref();
                let owner = data.and_then(|data| data.get("owner"));
                let is_own =
                    owner.is_some_and(|owner| owner.0 == self.victim.org.as_str().as_bytes());
                Control::expect(
                    is_own,
                    if is_own { "owner reads it" } else { "owner reads another" },
                )
            }
            Err(_) => control(&own, ""),
        };
        let observed = observed(&theirs, "reads it");
        self.conclude("read the other organization's secret", observed, control)
    }

    async fn list_everything(&self) -> Attempt {
        let all = ListParams::default();
        let theirs = self.attacker.all::<ConfigMap>().list(&all).await;
        let own = self.victim.own::<ConfigMap>().list(&all).await;
        let observed = match &theirs {
            Ok(list) => {
                let of_victim = |item: &&ConfigMap| {
                    item.metadata.namespace.as_deref() == Some(self.victim.namespace.as_str())
                };
                let seen = list.items.iter().filter(of_victim).count();
                Observed::reached(format!("lists {seen} of the other's"))
            }
            Err(_) => observed(&theirs, ""),
        };
        let control = match &own {
            Ok(list) => {
                let count = list.items.len();
                Control::expect(count > 0, format!("owner lists its own {count}"))
            }
            Err(_) => control(&own, ""),
        };
        self.conclude("list the config maps of every organization", observed, control)
    }

    async fn mint_a_token(&self) -> Attempt {
        let theirs = token(self.attacker, self.victim).await;
        let own = token(self.victim, self.victim).await;
        self.conclude(
            "mint a token of the other organization's service account",
            observed(&theirs, "has a token"),
            control(&own, "owner gets one"),
        )
    }

    async fn run_a_pod_there(&self) -> Attempt {
        let pod = ordinary_pod();
        let theirs = create::<Pod>(self.attacker, self.victim, &pod).await;
        let own = create::<Pod>(self.victim, self.victim, &pod).await;
        self.conclude(
            "run a pod in the other organization's namespace",
            observed(&theirs, "pod accepted"),
            control(&own, "owner's pod accepted"),
        )
    }

    async fn bind_itself_there(&self) -> Attempt {
        let mut binding = grant(&self.attacker.namespace);
        if let Some(binding) = binding.as_object_mut() {
            binding.insert("metadata".to_owned(), json!({ "name": "canary-grant" }));
        }
        let theirs = create::<RoleBinding>(self.attacker, self.victim, &binding).await;
        let own = create::<RoleBinding>(self.victim, self.victim, &binding).await;
        self.conclude(
            "bind itself to a role in the other organization's namespace",
            observed(&theirs, "binding accepted"),
            control(&own, "owner's binding accepted"),
        )
    }
}

async fn token(who: &Tenant, whose: &Tenant) -> kube::Result<TokenRequest> {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": { "audiences": [], "expirationSeconds": 600 },
    });
    let accounts = who.at::<ServiceAccount>(whose);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    accounts.create_subresource("token", WORKLOAD_ACCOUNT, &dry_run, &request).await
}

/// Tries to make an object, and leaves none.
pub(super) async fn create<K>(who: &Tenant, whose: &Tenant, object: &Value) -> kube::Result<K>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let object: K = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    who.at::<K>(whose).create(&dry_run, &object).await
}
