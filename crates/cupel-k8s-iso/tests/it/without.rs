use std::time::Duration;

use cupel_k8s_iso::TenantCluster;
use cupel_tenant::{IsolationLayer, OrgPair};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::Instant;

use crate::bed::{Outcomes, admin, alone, cluster, leaked, offboard, onboard, pair};

/// Every attack that a test has seen leak, by what was taken out.
pub(crate) const ALL: [&[&str]; 8] =
    [LABELS, POLICIES, FENCES, SERVICES, ENDPOINTS, RIGHTS, PODS, PORTS];

/// What the guard of namespaces refuses.
const LABELS: &[&str] = &[
    "take the other organization's label",
    "take its label through namespaces/status",
    "take its label through namespaces/finalize",
    "pose as the control plane by a label",
    "switch off pod security in its own namespace",
    "disown its namespace, so that nobody suspends it",
    "delete its namespace, fences and all",
];

/// What the guard of network policies refuses.
const POLICIES: &[&str] = &[
    "let the other organization in by a network policy",
    "reach every address by a network policy",
];

/// What the guard of managed objects refuses.
const FENCES: &[&str] = &[
    "delete the default-deny policy",
    "take its pods out of the default-deny policy",
    "raise its own quota",
    "raise its own quota through its status",
];

/// What the guard of services refuses.
const SERVICES: &[&str] =
    &["draw an address's traffic by a service", "lead a service out of the cluster by name"];

/// What the guard of endpoints refuses.
const ENDPOINTS: &[&str] = &["point a service at another organization's pods by hand"];

/// What Kubernetes' own rights refuse.
const RIGHTS: &[&str] = &[
    "read the other organization's secret",
    "list the config maps of every organization",
    "mint a token of the other organization's service account",
    "run a pod in the other organization's namespace",
    "bind itself to a role in the other organization's namespace",
];

/// What quotas and pod security refuse.
const PODS: &[&str] = &[
    "take more CPU than its tier has",
    "outrank everybody's pods by a system priority",
    "run a pod on the node's network",
    "run a privileged container",
];

/// What is refused by the guard of services and by a quota.
const PORTS: &[&str] = &[
    "draw an address's traffic by a service",
    "lead a service out of the cluster by name",
    "open a port on every node",
];

/// Proves until exactly `expected` leaks: the API server takes a moment to forget a guard.
async fn leaks(cluster: &TenantCluster, pair: &OrgPair, expected: &[&str]) -> Outcomes {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    loop {
        let seen = leaked(&cluster.prove(pair).await?);
        if seen == expected {
            return Ok(());
        }
        assert!(Instant::now() < deadline, "leaked {seen:?}, expected {expected:?}");
    }
}

/// Takes one guard out, sees what gets through, and has `install_guards` put it back.
async fn without(guard: &str, expected: &[&str]) -> Outcomes {
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    leaks(&cluster, &pair, &[]).await?;

    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(admin().await?);
    bindings.delete(guard, &DeleteParams::default()).await?;
    leaks(&cluster, &pair, expected).await?;
    let findings = cluster.audit(pair.first()).await?;
    assert!(matches!(&findings[..], [one] if one.rule == "C9"), "{findings:#?}");

    let changes = cluster.install_guards().await?;
    assert_eq!(changes.iter().count(), 1, "{changes:?}");
    assert_eq!(leaked(&cluster.prove(&pair).await?), Vec::<&str>::new());
    offboard(&cluster, &pair).await
}

#[tokio::test]
async fn without_the_guard_of_namespaces_labels_are_taken() -> Outcomes {
    without("cupel-namespaces", LABELS).await
}

#[tokio::test]
async fn without_the_guard_of_network_policies_they_open_the_namespace() -> Outcomes {
    without("cupel-network-policies", POLICIES).await
}

#[tokio::test]
async fn without_the_guard_of_managed_objects_the_fences_are_taken_down() -> Outcomes {
    without("cupel-managed-objects", FENCES).await
}

#[tokio::test]
async fn without_the_guard_of_services_they_lead_out() -> Outcomes {
    without("cupel-services", SERVICES).await
}

#[tokio::test]
async fn without_the_guard_of_endpoints_they_are_pointed_anywhere() -> Outcomes {
    without("cupel-endpoints", ENDPOINTS).await
}

#[tokio::test]
async fn without_role_boundaries_the_other_namespace_is_open() -> Outcomes {
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    let bindings: Api<ClusterRoleBinding> = Api::all(admin().await?);
    let everybody = json!({
        "metadata": { "generateName": "everybody-" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Group",
            "name": "system:serviceaccounts",
        }],
    });
    let made = bindings.create(&PostParams::default(), &serde_json::from_value(everybody)?).await?;
    // The guards hold even against an account that may do everything.
    let seen = leaks(&cluster, &pair, RIGHTS).await;
    bindings.delete(&made.metadata.name.unwrap(), &DeleteParams::default()).await?;
    seen?;
    leaks(&cluster, &pair, &[]).await?;
    offboard(&cluster, &pair).await
}

#[tokio::test]
async fn without_quotas_and_pod_security_pods_take_what_they_like() -> Outcomes {
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    let client = admin().await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for org in [pair.first(), pair.second()] {
        let name = format!("cupel-org-{org}");
        let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &name);
        for quota in ["cupel-compute", "cupel-priority"] {
            quotas.delete(quota, &DeleteParams::default()).await?;
        }
        let off = json!({
            "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } },
        });
        namespaces.patch(&name, &PatchParams::default(), &Patch::Merge(off)).await?;
    }
    leaks(&cluster, &pair, PODS).await?;
    let findings = cluster.audit(pair.first()).await?;
    assert_eq!(findings.iter().filter(|found| found.rule == "C4").count(), 3, "{findings:#?}");
    offboard(&cluster, &pair).await
}

/// Node ports are refused twice, by quota and by guard.
#[tokio::test]
async fn without_quota_and_guard_a_service_opens_a_port_on_every_node() -> Outcomes {
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    let client = admin().await?;
    for org in [pair.first(), pair.second()] {
        let quotas: Api<ResourceQuota> =
            Api::namespaced(client.clone(), &format!("cupel-org-{org}"));
        quotas.delete("cupel-objects", &DeleteParams::default()).await?;
    }
    leaks(&cluster, &pair, &[]).await?;
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client);
    bindings.delete("cupel-services", &DeleteParams::default()).await?;
    leaks(&cluster, &pair, PORTS).await?;
    cluster.install_guards().await?;
    leaks(&cluster, &pair, &[]).await?;
    offboard(&cluster, &pair).await
}

#[tokio::test]
async fn without_default_limits_the_owner_cannot_run_and_nothing_is_proven() -> Outcomes {
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    for org in [pair.first(), pair.second()] {
        let ranges: Api<LimitRange> = Api::namespaced(admin().await?, &format!("cupel-org-{org}"));
        ranges.delete("cupel-defaults", &DeleteParams::default()).await?;
    }
    let attempts = cluster.prove(&pair).await?;
    let greedy = attempts.iter().find(|one| one.attack == "take more CPU than its tier has");
    assert!(greedy.is_some_and(|one| !one.is_blocked() && !one.control.is_held()), "{greedy:?}");
    offboard(&cluster, &pair).await
}
