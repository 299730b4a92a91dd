use serde_json::{Value, json};

use crate::manifest::{Kind, Manifest};
use crate::{NamespaceName, TierLimits};

pub(super) fn render(namespace: &NamespaceName, limits: &TierLimits) -> Vec<Manifest> {
    vec![
        compute(namespace, limits),
        objects(namespace, limits),
        priority(namespace),
        defaults(namespace, limits),
    ]
}

/// A quota that allows no pods, beside the tier's own: the smallest of several quotas decides.
pub(crate) fn suspended(namespace: &NamespaceName) -> Manifest {
    quota(namespace, "cupel-suspended", &json!({ "hard": { "pods": "0" } }))
}

fn compute(namespace: &NamespaceName, limits: &TierLimits) -> Manifest {
    let hard = json!({
        "requests.cpu": limits.requests.cpu.as_str(),
        "requests.memory": limits.requests.memory.as_str(),
        "limits.cpu": limits.limits.cpu.as_str(),
        "limits.memory": limits.limits.memory.as_str(),
        "requests.storage": limits.storage.as_str(),
        "pods": limits.pods.to_string(),
    });
    quota(namespace, "cupel-compute", &json!({ "hard": hard }))
}

/// Bounds what fills the API server's store, and forbids what is reachable from outside: a node port
/// cannot be closed by a network policy.
fn objects(namespace: &NamespaceName, limits: &TierLimits) -> Manifest {
    let most = limits.objects.to_string();
    let hard = json!({
        "count/configmaps": most,
        "count/jobs.batch": most,
        "count/persistentvolumeclaims": most,
        "count/secrets": most,
        "count/services": most,
        "services.loadbalancers": "0",
        "services.nodeports": "0",
    });
    quota(namespace, "cupel-objects", &json!({ "hard": hard }))
}

/// Forbids the two priority classes that every cluster has, which preempt any other pod
/// (kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods).
fn priority(namespace: &NamespaceName) -> Manifest {
    let scope = json!({
        "scopeName": "PriorityClass",
        "operator": "In",
        "values": ["system-cluster-critical", "system-node-critical"],
    });
    let spec = json!({ "hard": { "pods": "0" }, "scopeSelector": { "matchExpressions": [scope] } });
    quota(namespace, "cupel-priority", &spec)
}

/// What a container gets that asks for nothing. A quota of compute refuses pods that ask for
/// nothing, so without these defaults most workloads would not start.
fn defaults(namespace: &NamespaceName, limits: &TierLimits) -> Manifest {
    let (request, limit) = (limits.share(&limits.requests), limits.share(&limits.limits));
    let container = json!({
        "type": "Container",
        "default": { "cpu": limit.cpu.as_str(), "memory": limit.memory.as_str() },
        "defaultRequest": { "cpu": request.cpu.as_str(), "memory": request.memory.as_str() },
    });
    let spec = json!({ "spec": { "limits": [container] } });
    Manifest::namespaced(Kind::LimitRange, namespace.as_str(), "cupel-defaults", spec)
}

fn quota(namespace: &NamespaceName, name: &str, spec: &Value) -> Manifest {
    let body = json!({ "spec": spec });
    Manifest::namespaced(Kind::ResourceQuota, namespace.as_str(), name, body)
}
