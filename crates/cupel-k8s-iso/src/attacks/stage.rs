use std::fmt::Debug;
use std::time::Duration;

use cupel_tenant::OrgId;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::CANARY;
use crate::names::MANAGER;
use crate::wait::Patience;
use crate::{Error, NamespaceName, TenantCluster};

/// How long a token of an attacker is valid, in seconds: the least that the API server gives out.
const TOKEN_SECONDS: u32 = 600;

/// How long the API server may take to act by a new role.
const RIGHTS_DEADLINE: Duration = Duration::from_secs(10);

/// One of the two organizations: its namespace, and a client with its own credentials.
pub(super) struct Tenant {
    pub(super) org: OrgId,
    pub(super) namespace: NamespaceName,
    client: Client,
}

impl Tenant {
    /// Puts what is attacked into the namespace, and signs in as the organization.
    pub(super) async fn enter(cluster: &TenantCluster, org: &OrgId) -> Result<Self, Error> {
        if cluster.own_namespace(org).await?.is_none() {
            return Err(Error::NotProvisioned { org: org.clone() });
        }
        let namespace = NamespaceName::of(org);
        let platform = Platform { client: cluster.client(), namespace: namespace.as_str() };
        // Both organizations have the same names and differ in what stands there.
        platform.put::<ConfigMap>(json!({ "data": { "owner": org.as_str() } })).await?;
        platform.put::<Secret>(json!({ "stringData": { "owner": org.as_str() } })).await?;
        platform.put::<ServiceAccount>(json!({ "automountServiceAccountToken": false })).await?;
        let everything = json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] });
        platform.put::<Role>(json!({ "rules": [everything] })).await?;
        platform.put::<RoleBinding>(grant(&namespace)).await?;

        let client = platform.sign_in(cluster).await?;
        let tenant = Self { org: org.clone(), namespace, client };
        let patience = Patience::with("the organization's role was not in force", RIGHTS_DEADLINE);
        while tenant.own::<Secret>().get(CANARY).await.is_err() {
            patience.pause().await?;
        }
        Ok(tenant)
    }

    /// Takes the rights away again, which nobody but an attack needs.
    pub(super) async fn leave(&self, cluster: &TenantCluster) -> Result<(), Error> {
        let bindings: Api<RoleBinding> =
            Api::namespaced(cluster.client().clone(), self.namespace.as_str());
        match bindings.delete(CANARY, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::of("take an attacker's rights away", source)),
        }
    }

    /// Returns the organization's view of its own namespace.
    pub(super) fn own<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.at(self)
    }

    /// Returns the organization's view of the namespace of `other`.
    pub(super) fn at<K>(&self, other: &Self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), other.namespace.as_str())
    }

    /// Returns the organization's view of the whole cluster.
    pub(super) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }
}

/// Binds an organization's account to its role.
pub(super) fn grant(subject: &NamespaceName) -> Value {
    json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": CANARY },
        "subjects": [{
            "kind": "ServiceAccount",
            "name": CANARY,
            "namespace": subject.as_str(),
        }],
    })
}

/// Us, at work in the namespace of an organization.
struct Platform<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Platform<'_> {
    async fn put<K>(&self, body: Value) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        let mut object = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": CANARY },
        });
        if let (Some(object), Value::Object(body)) = (object.as_object_mut(), body) {
            object.extend(body);
        }
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        api.patch(CANARY, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&object))
            .await
            .map_err(|source| Error::of("make what is to be attacked", source))?;
        Ok(())
    }

    /// Asks for a token of the organization's account, and makes a client of it and nothing else.
    async fn sign_in(&self, cluster: &TenantCluster) -> Result<Client, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), self.namespace);
        let wanted = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {},
            "spec": { "audiences": [], "expirationSeconds": TOKEN_SECONDS },
        });
        let failed = |source| Error::of("sign in as an organization", source);
        let answer: TokenRequest = accounts
            .create_subresource("token", CANARY, &PostParams::default(), &wanted)
            .await
            .map_err(failed)?;
        let token = answer.status.map(|status| status.token).unwrap_or_default();
        let mut config = cluster.anonymous().clone();
        config.auth_info.token = Some(token.into());
        Client::try_from(config).map_err(failed)
    }
}
