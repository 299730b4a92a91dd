//! What a network policy lets in or out, read from the policy alone.

use serde_json::Value;

use crate::names::ORG_LABEL;

/// Says where a policy of a tenant's own reaches beyond its organization; `None` if nowhere.
///
/// A rule without peers means everybody, a peer with addresses may mean other organizations' pods
/// (plug-ins differ), and a selector of namespaces counts as the organization's own only if it names
/// the organization's id.
pub(super) fn beyond(policy: &Value, org: &str) -> Option<String> {
    [("ingress", "from"), ("egress", "to")].into_iter().find_map(|(direction, peers)| {
        let rules = policy.pointer(&format!("/spec/{direction}"))?.as_array()?;
        rules.iter().enumerate().find_map(|(i, rule)| {
            let peers = rule.get(peers).and_then(Value::as_array);
            let own = peers.is_some_and(|peers| {
                !peers.is_empty() && peers.iter().all(|peer| is_own(peer, org))
            });
            (!own).then(|| format!("spec.{direction}[{i}]"))
        })
    })
}

fn is_own(peer: &Value, org: &str) -> bool {
    if peer.get("ipBlock").is_some() {
        return false;
    }
    match peer.get("namespaceSelector") {
        None => peer.get("podSelector").is_some(),
        Some(selector) => {
            let labels = selector.get("matchLabels").and_then(|labels| labels.get(ORG_LABEL));
            labels.and_then(Value::as_str) == Some(org)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(spec: &Value, expected: Option<&str>) {
        let policy = json!({ "spec": spec });
        assert_eq!(beyond(&policy, "acme").as_deref(), expected, "policy {policy}");
    }

    #[test]
    fn what_stays_inside_is_fine() {
        let own = json!({ "matchLabels": { ORG_LABEL: "acme" } });
        check(&json!({ "podSelector": {} }), None);
        check(&json!({ "ingress": [] }), None);
        check(&json!({ "ingress": [{ "from": [{ "podSelector": {} }] }] }), None);
        check(&json!({ "egress": [{ "to": [{ "namespaceSelector": own }] }] }), None);
    }

    #[test]
    fn what_reaches_out_is_found() {
        let other = json!({ "matchLabels": { ORG_LABEL: "acme-corp" } });
        let exists = json!({ "matchExpressions": [{ "key": ORG_LABEL, "operator": "Exists" }] });
        let own = json!({ "podSelector": {} });
        for peer in [
            json!({ "ipBlock": { "cidr": "10.0.0.0/8" } }),
            json!({ "namespaceSelector": {} }),
            json!({ "namespaceSelector": other }),
            json!({ "namespaceSelector": exists, "podSelector": {} }),
            json!({}),
        ] {
            check(&json!({ "ingress": [{ "from": [own, peer] }] }), Some("spec.ingress[0]"));
            check(
                &json!({ "egress": [{ "to": [own] }, { "to": [peer] }] }),
                Some("spec.egress[1]"),
            );
        }
        check(&json!({ "ingress": [{}] }), Some("spec.ingress[0]"));
        check(&json!({ "egress": [{ "ports": [{ "port": 53 }] }] }), Some("spec.egress[0]"));
        check(&json!({ "egress": [{ "to": [] }] }), Some("spec.egress[0]"));
    }
}
