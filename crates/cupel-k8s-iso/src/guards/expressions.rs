//! The rules of the guards, in CEL, the language of admission policies
//! (kubernetes.io/docs/reference/using-api/cel).

use serde_json::json;

use crate::NamespaceName;
use crate::names::{ORG_LABEL, RESERVED_PREFIX};

/// The accounts of the cluster's own components that take objects away with their namespace, keep
/// account of quotas, or write the addresses behind services. The second is all controllers in one,
/// where they share an account.
const COMPONENTS: [&str; 7] = [
    "system:apiserver",
    "system:kube-controller-manager",
    "system:serviceaccount:kube-system:endpoint-controller",
    "system:serviceaccount:kube-system:endpointslice-controller",
    "system:serviceaccount:kube-system:endpointslicemirroring-controller",
    "system:serviceaccount:kube-system:namespace-controller",
    "system:serviceaccount:kube-system:resourcequota-controller",
];

/// The labels that decide what a namespace is. Other tools write the last one too, so that it is
/// ours on our namespaces only.
const PROTECTED: &str = "(k.startsWith('cupel.io/') || k.startsWith('pod-security.kubernetes.io/') \
     || (k == 'app.kubernetes.io/managed-by' && object.metadata.name.startsWith('cupel-org-')))";

/// One rule: what must be true, and what a refused client reads.
pub(super) struct Rule {
    pub(super) expression: String,
    pub(super) message: &'static str,
}

fn rule(expression: String, message: &'static str) -> Rule {
    Rule { expression, message }
}

/// Writes a list of names as CEL. JSON's strings are CEL's strings.
fn list(names: &[String]) -> String {
    json!(names).to_string()
}

fn is_manager(managers: &[String]) -> String {
    format!("request.userInfo.username in {}", list(managers))
}

fn is_platform(managers: &[String]) -> String {
    let all = managers.iter().cloned().chain(COMPONENTS.map(str::to_owned));
    is_manager(&all.collect::<Vec<_>>())
}

pub(super) fn namespaces(managers: &[String]) -> Vec<Rule> {
    let manager = is_manager(managers);
    let prefix = NamespaceName::PREFIX;
    let deletion = "request.operation == 'DELETE'";
    vec![
        // Holds for us too: whose a namespace is follows from its name, which nobody can change.
        rule(
            format!(
                "{deletion} || !has(object.metadata.labels) || !('{ORG_LABEL}' in object.metadata.labels) \
                 || object.metadata.name == '{prefix}' + object.metadata.labels['{ORG_LABEL}']"
            ),
            "a namespace carries the organization id that its name says, or none",
        ),
        // Holds for us too, on every path but deletion.
        rule(
            format!(
                "{deletion} || oldObject == null || !has(oldObject.metadata.labels) \
                 || !('{ORG_LABEL}' in oldObject.metadata.labels) \
                 || (has(object.metadata.labels) && '{ORG_LABEL}' in object.metadata.labels)"
            ),
            "a namespace keeps its organization id",
        ),
        rule(
            format!(
                "{deletion} || {manager} || !has(object.metadata.labels) \
                 || object.metadata.labels.all(k, !{PROTECTED} \
                 || (oldObject != null && has(oldObject.metadata.labels) \
                 && k in oldObject.metadata.labels \
                 && oldObject.metadata.labels[k] == object.metadata.labels[k]))"
            ),
            "labels that decide what a namespace is are set by cupel's managers only",
        ),
        rule(
            format!(
                "{deletion} || {manager} || oldObject == null || !has(oldObject.metadata.labels) \
                 || oldObject.metadata.labels.all(k, !{PROTECTED} \
                 || (has(object.metadata.labels) && k in object.metadata.labels))"
            ),
            "labels that decide what a namespace is are taken off by cupel's managers only",
        ),
        rule(
            format!(
                "request.operation == 'UPDATE' || {manager} \
                 || !(oldObject == null ? object.metadata.name : oldObject.metadata.name)\
                 .startsWith('{prefix}')"
            ),
            "namespaces of organizations are made and deleted by cupel's managers only",
        ),
    ]
}

pub(super) fn managed_objects(managers: &[String]) -> Vec<Rule> {
    let platform = is_platform(managers);
    vec![
        rule(
            format!(
                "{platform} || (oldObject == null \
                 ? !object.metadata.name.startsWith('{RESERVED_PREFIX}') \
                 : !oldObject.metadata.name.startsWith('{RESERVED_PREFIX}'))"
            ),
            "objects whose name begins with cupel- are written by cupel's managers only",
        ),
        rule(
            format!(
                "{platform} || request.operation == 'CREATE' \
                 || request.resource.resource != 'serviceaccounts' \
                 || oldObject.metadata.name != 'default'"
            ),
            "the default service account is written by cupel's managers only",
        ),
    ]
}

pub(super) fn network_policies(managers: &[String]) -> Vec<Rule> {
    let manager = is_manager(managers);
    let own = format!("namespaceObject.metadata.labels['{ORG_LABEL}']");
    let peer = format!(
        "!has(p.ipBlock) && (has(p.podSelector) || has(p.namespaceSelector)) \
         && (!has(p.namespaceSelector) || (has(p.namespaceSelector.matchLabels) \
         && '{ORG_LABEL}' in p.namespaceSelector.matchLabels \
         && p.namespaceSelector.matchLabels['{ORG_LABEL}'] == {own}))"
    );
    [
        ("ingress", "from", "a network policy lets in pods of its own organization only"),
        ("egress", "to", "a network policy lets out to pods of its own organization only"),
    ]
    .map(|(direction, peers, message)| {
        let expression = format!(
            "{manager} || !has(object.spec.{direction}) \
             || object.spec.{direction}.all(r, has(r.{peers}) && size(r.{peers}) > 0 \
             && r.{peers}.all(p, {peer}))"
        );
        rule(expression, message)
    })
    .into()
}

pub(super) fn services(managers: &[String]) -> Vec<Rule> {
    let manager = is_manager(managers);
    vec![
        rule(
            format!("{manager} || !has(object.spec.type) || object.spec.type == 'ClusterIP'"),
            "a service of an organization is of type ClusterIP",
        ),
        rule(
            format!(
                "{manager} || !has(object.spec.externalIPs) || size(object.spec.externalIPs) == 0"
            ),
            "a service of an organization has no external addresses",
        ),
    ]
}

pub(super) fn endpoints(managers: &[String]) -> Vec<Rule> {
    vec![rule(
        is_platform(managers),
        "the addresses behind services are written by the cluster's controllers only",
    )]
}

/// Refuses one object to everybody, so that the guard can be seen to be in force.
pub(super) fn canary(guard: &str) -> Rule {
    rule(
        format!("object == null || object.metadata.name != '{guard}'"),
        "the guard's own name is kept free, to see that the guard is in force",
    )
}
