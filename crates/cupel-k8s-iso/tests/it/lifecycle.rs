use std::time::Duration;

use cupel_tenant::{Changes, IsolationLayer, LayerErrorKind, OrgSpec, Severity, TenantScope, Tier};
use k8s_openapi::api::core::v1::{Namespace, Pod, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::bed::{Outcomes, admin, cluster, offboard, onboard, pair, shared};

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": "work" },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "work",
                "image": "registry.invalid/work",
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    }))
    .unwrap()
}

#[tokio::test]
async fn a_second_provisioning_writes_nothing() -> Outcomes {
    let _shared = shared().await;
    let (cluster, pair) = (cluster().await?, pair());
    let spec = OrgSpec::new(pair.first().clone(), Tier::STANDARD);
    assert!(!cluster.provision(&spec).await?.is_empty());

    let name = cluster.scoped(&TenantScope::org(pair.first().clone())).namespace().to_owned();
    let namespaces: Api<Namespace> = Api::all(admin().await?);
    let before = namespaces.get(&name).await?.metadata.resource_version;
    assert_eq!(cluster.provision(&spec).await?, Changes::none());
    assert_eq!(cluster.install_guards().await?, Changes::none());
    assert_eq!(namespaces.get(&name).await?.metadata.resource_version, before);

    let raised = OrgSpec::new(pair.first().clone(), Tier::ENTERPRISE);
    let changes = cluster.provision(&raised).await?;
    assert!(changes.iter().any(|change| change.contains("cupel-compute")), "{changes:?}");
    assert!(cluster.erase(pair.first()).await?.is_complete());
    Ok(())
}

#[tokio::test]
async fn what_was_edited_by_hand_is_found_and_put_right() -> Outcomes {
    let _shared = shared().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    assert_eq!(cluster.audit(pair.first()).await?, []);

    let name = cluster.scoped(&TenantScope::org(pair.first().clone())).namespace().to_owned();
    let client = admin().await?;
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), &name);
    let open = Patch::Merge(json!({ "spec": { "ingress": [{}] } }));
    policies.patch("cupel-00-default-deny", &PatchParams::default(), &open).await?;
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &name);
    let more = Patch::Merge(json!({ "spec": { "hard": { "pods": "7000" } } }));
    quotas.patch("cupel-compute", &PatchParams::default(), &more).await?;
    policies.delete("cupel-20-dns", &DeleteParams::default()).await?;
    let wide = json!({
        "metadata": { "name": "wide" },
        "spec": { "podSelector": {}, "egress": [{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] }] },
    });
    policies.create(&PostParams::default(), &serde_json::from_value(wide)?).await?;

    let findings = cluster.audit(pair.first()).await?;
    let rules: Vec<_> = findings.iter().map(|found| (found.rule, found.object.as_str())).collect();
    let of = |object: &str| format!("{name}/{object}");
    for (rule, object) in [
        ("C4", "cupel-00-default-deny"),
        ("C4", "cupel-20-dns"),
        ("C4", "cupel-compute"),
        ("C5", "wide"),
    ] {
        assert!(rules.contains(&(rule, of(object).as_str())), "{rule} {object} in {findings:#?}");
    }
    assert_eq!(findings.len(), 4, "{findings:#?}");
    assert_eq!(cluster.audit(pair.second()).await?, [], "the other is not concerned");

    let changes = cluster.provision(&OrgSpec::new(pair.first().clone(), Tier::STANDARD)).await?;
    assert_eq!(changes.iter().count(), 3, "{changes:?}");
    let left = cluster.audit(pair.first()).await?;
    assert!(matches!(&left[..], [one] if one.rule == "C5" && one.severity == Severity::Critical));
    offboard(&cluster, &pair).await
}

#[tokio::test]
async fn a_suspended_organization_runs_nothing_until_it_is_resumed() -> Outcomes {
    let _shared = shared().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    let name = cluster.scoped(&TenantScope::org(pair.first().clone())).namespace().to_owned();
    let other = cluster.scoped(&TenantScope::org(pair.second().clone())).namespace().to_owned();
    let pods: Api<Pod> = Api::namespaced(admin().await?, &name);
    let other_pods: Api<Pod> = Api::namespaced(admin().await?, &other);
    pods.create(&PostParams::default(), &pod()).await?;
    other_pods.create(&PostParams::default(), &pod()).await?;

    cluster.suspend(pair.first()).await?;
    cluster.suspend(pair.first()).await?;
    assert!(pods.get_opt("work").await?.is_none());
    let refused = pods.create(&PostParams::default(), &pod()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
    assert!(other_pods.get_opt("work").await?.is_some(), "the other runs on");
    assert_eq!(cluster.audit(pair.first()).await?, []);

    cluster.resume(pair.first()).await?;
    cluster.resume(pair.first()).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while pods.create(&PostParams::default(), &pod()).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "pods are still refused");
        tokio::task::yield_now().await;
    }
    offboard(&cluster, &pair).await
}

#[tokio::test]
async fn erasing_leaves_nothing_of_one_and_all_of_the_other() -> Outcomes {
    let _shared = shared().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    let scope = TenantScope::org(pair.first().clone());
    let name = cluster.scoped(&scope).namespace().to_owned();
    let namespaces: Api<Namespace> = Api::all(admin().await?);

    let erasure = cluster.erase(pair.first()).await?;
    assert!(erasure.is_complete(), "{erasure:?}");
    assert!(erasure.items().iter().any(|erased| erased.what == "namespace"));
    assert!(namespaces.get_opt(&name).await?.is_none());
    assert_eq!(cluster.audit(pair.second()).await?, []);

    // Again: nothing to do.
    let again = cluster.erase(pair.first()).await?;
    assert!(again.is_complete() && again.items().is_empty());
    let gone = cluster.suspend(pair.first()).await.unwrap_err();
    assert_eq!(gone.kind(), LayerErrorKind::Refused);
    let missing = cluster.audit(pair.first()).await?;
    assert!(matches!(&missing[..], [one] if one.rule == "C1"), "{missing:?}");
    assert!(cluster.erase(pair.second()).await?.is_complete());
    Ok(())
}
