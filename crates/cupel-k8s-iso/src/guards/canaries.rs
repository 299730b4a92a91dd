use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ApiResource;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{ENDPOINTS, MANAGED_OBJECTS, NAMESPACES, NETWORK_POLICIES, SERVICES};
use crate::names::ORG_LABEL;

/// An object that one guard refuses to everybody, us included: what shows that it is in force.
///
/// Inside a namespace it has the guard's own name; no other guard refuses it to us.
pub(crate) struct Canary {
    pub(crate) guard: &'static str,
    pub(crate) resource: ApiResource,
    pub(crate) object: DynamicObject,
}

impl Canary {
    fn new(guard: &'static str, name: &str, resource: ApiResource, body: Value) -> Self {
        let mut object = DynamicObject::new(name, &resource);
        object.data = body;
        Self { guard, resource, object }
    }
}

/// A namespace whose label does not say what its name says. Its name is not an organization's.
pub(crate) fn of_cluster() -> Canary {
    let resource = ApiResource::erase::<Namespace>(&());
    let mut canary = Canary::new(NAMESPACES, "cupel-guard-check", resource, json!({}));
    let labels = canary.object.metadata.labels.get_or_insert_default();
    labels.insert(ORG_LABEL.to_owned(), "nobody".to_owned());
    canary
}

/// One object for each guard of what lies in an organization's namespace.
pub(crate) fn of_namespace() -> [Canary; 4] {
    let inside = |guard, resource, body| Canary::new(guard, guard, resource, body);
    [
        inside(MANAGED_OBJECTS, ApiResource::erase::<ServiceAccount>(&()), json!({})),
        inside(
            NETWORK_POLICIES,
            ApiResource::erase::<NetworkPolicy>(&()),
            json!({ "spec": { "podSelector": {} } }),
        ),
        inside(
            SERVICES,
            ApiResource::erase::<Service>(&()),
            json!({ "spec": { "ports": [{ "port": 80 }] } }),
        ),
        inside(
            ENDPOINTS,
            ApiResource::erase::<EndpointSlice>(&()),
            json!({ "addressType": "IPv4", "endpoints": [] }),
        ),
    ]
}
