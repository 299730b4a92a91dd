use std::fmt;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::ApiResource;
use serde_json::{Value, json};

use crate::Quantity;
use crate::names::{MANAGED_BY_LABEL, MANAGER};

/// The kinds that cupel makes: a closed set, so that our rights in a cluster can be one too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    LimitRange,
    Namespace,
    NetworkPolicy,
    Policy,
    PolicyBinding,
    ResourceQuota,
    ServiceAccount,
}

impl Kind {
    pub(crate) fn resource(self) -> ApiResource {
        match self {
            Self::LimitRange => ApiResource::erase::<LimitRange>(&()),
            Self::Namespace => ApiResource::erase::<Namespace>(&()),
            Self::NetworkPolicy => ApiResource::erase::<NetworkPolicy>(&()),
            Self::Policy => ApiResource::erase::<ValidatingAdmissionPolicy>(&()),
            Self::PolicyBinding => ApiResource::erase::<ValidatingAdmissionPolicyBinding>(&()),
            Self::ResourceQuota => ApiResource::erase::<ResourceQuota>(&()),
            Self::ServiceAccount => ApiResource::erase::<ServiceAccount>(&()),
        }
    }
}

/// One Kubernetes object as it is wanted.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    kind: Kind,
    name: String,
    namespace: Option<String>,
    value: Value,
}

impl Manifest {
    /// An object of the whole cluster. `body` is everything but apiVersion, kind and metadata.
    pub(crate) fn cluster(kind: Kind, name: &str, labels: &Value, body: Value) -> Self {
        Self::build(kind, name, None, labels, body)
    }

    /// An object inside a namespace, labelled as ours.
    pub(crate) fn namespaced(kind: Kind, namespace: &str, name: &str, body: Value) -> Self {
        Self::build(kind, name, Some(namespace), &json!({ MANAGED_BY_LABEL: MANAGER }), body)
    }

    fn build(kind: Kind, name: &str, namespace: Option<&str>, labels: &Value, body: Value) -> Self {
        let resource = kind.resource();
        let mut metadata = json!({ "name": name, "labels": labels });
        if let (Some(namespace), Some(metadata)) = (namespace, metadata.as_object_mut()) {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        let mut value = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": metadata,
        });
        if let (Some(value), Value::Object(body)) = (value.as_object_mut(), body) {
            value.extend(body);
        }
        Self { kind, name: name.to_owned(), namespace: namespace.map(str::to_owned), value }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the namespace; `None` for an object of the whole cluster.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Returns the whole object as JSON.
    pub fn as_json(&self) -> &Value {
        &self.value
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the first field in which `live` is not as wanted, as `spec.hard.pods`; `None` if it
    /// is.
    ///
    /// Labels may be added by others; everything else that we state is compared whole, so that
    /// what others add to it counts too. Quantities are equal if their amounts are, and an empty
    /// list or object is no different from none: the API server does not keep it.
    pub(crate) fn drift(&self, live: &Value) -> Option<String> {
        let empty = json!({});
        let wanted_labels = self.value.pointer("/metadata/labels").unwrap_or(&empty);
        let live_labels = live.pointer("/metadata/labels").unwrap_or(&empty);
        for (label, value) in wanted_labels.as_object().into_iter().flatten() {
            if live_labels.get(label) != Some(value) {
                return Some(format!("metadata.labels.{label}"));
            }
        }
        self.value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"))
            .find_map(|(key, wanted)| {
                difference(key, wanted, live.get(key).unwrap_or(&Value::Null))
            })
    }
}

fn difference(path: &str, wanted: &Value, live: &Value) -> Option<String> {
    if is_nothing(wanted) && is_nothing(live) {
        return None;
    }
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            let added = live
                .iter()
                .find(|(key, value)| !wanted.contains_key(*key) && !is_nothing(value))
                .map(|(key, _)| format!("{path}.{key}"));
            wanted
                .iter()
                .find_map(|(key, wanted)| {
                    let live = live.get(key).unwrap_or(&Value::Null);
                    difference(&format!("{path}.{key}"), wanted, live)
                })
                .or(added)
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => wanted
            .iter()
            .zip(live)
            .enumerate()
            .find_map(|(i, (wanted, live))| difference(&format!("{path}[{i}]"), wanted, live)),
        (Value::String(wanted), Value::String(live)) if wanted != live => {
            let same = match (wanted.parse::<Quantity>(), live.parse::<Quantity>()) {
                (Ok(wanted), Ok(live)) => wanted.same_amount_as(&live),
                _ => false,
            };
            (!same).then(|| path.to_owned())
        }
        _ => (wanted != live).then(|| path.to_owned()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.resource().kind, self.name)
    }
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Manifest({self})")
    }
}

/// Writes manifests as a stream of YAML documents, as `kubectl apply -f -` reads it.
pub(crate) fn to_yaml<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> String {
    manifests
        .map(|manifest| {
            // A JSON value has string keys and finite numbers only, so it is always YAML too.
            serde_yaml_ng::to_string(&manifest.value).unwrap_or_default()
        })
        .collect::<Vec<_>>()
        .join("---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(hard: &Value) -> Manifest {
        Manifest::namespaced(Kind::ResourceQuota, "n", "q", json!({ "spec": { "hard": hard } }))
    }

    fn live(spec: &Value) -> Value {
        json!({ "metadata": { "labels": { MANAGED_BY_LABEL: MANAGER } }, "spec": spec })
    }

    #[test]
    fn the_same_amount_is_no_drift() {
        let wanted = quota(&json!({ "cpu": "1000m", "pods": "5" }));
        assert_eq!(wanted.drift(&live(&json!({ "hard": { "cpu": "1", "pods": "5" } }))), None);
        let other = live(&json!({ "hard": { "cpu": "1", "pods": "50" } }));
        assert_eq!(wanted.drift(&other).as_deref(), Some("spec.hard.pods"));
    }

    #[test]
    fn what_others_added_is_drift() {
        let policy = Manifest::namespaced(
            Kind::NetworkPolicy,
            "n",
            "p",
            json!({ "spec": { "podSelector": {}, "policyTypes": ["Ingress"] } }),
        );
        let wanted = json!({ "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [] });
        assert_eq!(policy.drift(&live(&wanted)), None);
        let open = json!({ "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}] });
        assert_eq!(policy.drift(&live(&open)).as_deref(), Some("spec.ingress"));
    }

    #[test]
    fn a_label_taken_off_is_drift_and_one_added_is_not() {
        let wanted = quota(&json!({ "pods": "5" }));
        let unlabelled = json!({ "spec": { "hard": { "pods": "5" } } });
        let missing = format!("metadata.labels.{MANAGED_BY_LABEL}");
        assert_eq!(wanted.drift(&unlabelled), Some(missing));
        let mut more = live(&json!({ "hard": { "pods": "5" } }));
        more["metadata"]["labels"]["team"] = json!("theirs");
        assert_eq!(wanted.drift(&more), None);
    }
}
