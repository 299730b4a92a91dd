use serde_json::{Value, json};

use crate::manifest::{Kind, Manifest};
use crate::names::ORG_LABEL;
use crate::{Blueprint, NamespaceName};

/// The network policies of one organization: nothing, then what is allowed.
///
/// Policies add up: each can only allow more than the others, so the first is the floor that
/// remains when one of the others goes.
pub(super) fn render(namespace: &NamespaceName, blueprint: &Blueprint) -> Vec<Manifest> {
    let own = json!({
        "namespaceSelector": { "matchLabels": { ORG_LABEL: namespace.org_id().as_str() } }
    });
    let mut policies = vec![
        policy(namespace, "cupel-00-default-deny", &["Ingress", "Egress"], json!({})),
        policy(
            namespace,
            "cupel-10-same-org",
            &["Ingress", "Egress"],
            json!({ "ingress": [{ "from": [own] }], "egress": [{ "to": [own] }] }),
        ),
        egress(namespace, "cupel-20-dns", &[blueprint.dns_rule().rule()]),
    ];
    let control_planes: Vec<Value> =
        blueprint.control_planes().iter().map(|plane| plane.rule()).collect();
    if !control_planes.is_empty() {
        policies.push(egress(namespace, "cupel-30-control-plane", &control_planes));
    }
    let endpoints: Vec<Value> = blueprint.endpoints().iter().map(|end| end.rule()).collect();
    if !endpoints.is_empty() {
        policies.push(egress(namespace, "cupel-40-endpoints", &endpoints));
    }
    policies
}

fn egress(namespace: &NamespaceName, name: &str, rules: &[Value]) -> Manifest {
    policy(namespace, name, &["Egress"], json!({ "egress": rules }))
}

/// One policy over every pod of the namespace.
fn policy(namespace: &NamespaceName, name: &str, types: &[&str], rules: Value) -> Manifest {
    let mut spec = json!({ "podSelector": {}, "policyTypes": types });
    if let (Some(spec), Value::Object(rules)) = (spec.as_object_mut(), rules) {
        spec.extend(rules);
    }
    Manifest::namespaced(Kind::NetworkPolicy, namespace.as_str(), name, json!({ "spec": spec }))
}
