use std::time::Duration;

use cupel_tenant::{Changes, IsolationLayer, LayerErrorKind};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::Instant;

use crate::bed::{
    Outcomes, admin, alone, client, cluster, kubeconfig_of_default_account, offboard, onboard, pair,
};

#[tokio::test]
async fn the_api_server_has_nothing_to_say_against_the_guards() -> Outcomes {
    let _alone = alone().await;
    let cluster = cluster().await?;
    cluster.install_guards().await?;
    assert_eq!(cluster.install_guards().await?, Changes::none());
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(admin().await?);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let all = policies.list(&ListParams::default()).await?.items;
        let ours = all.iter().filter(|one| {
            one.metadata.name.as_deref().is_some_and(|name| name.starts_with("cupel-"))
        });
        let checked: Vec<_> = ours
            .filter(|one| {
                let status = one.status.as_ref();
                status.and_then(|status| status.observed_generation) == one.metadata.generation
            })
            .collect();
        if checked.len() == 5 {
            for policy in checked {
                let status = policy.status.as_ref().unwrap();
                let warnings =
                    status.type_checking.as_ref().and_then(|one| one.expression_warnings.as_ref());
                assert!(warnings.is_none_or(Vec::is_empty), "{warnings:#?}");
            }
            return Ok(());
        }
        assert!(Instant::now() < deadline, "only {} guards were checked", checked.len());
        tokio::task::yield_now().await;
    }
}

/// Somebody who may do everything and is no manager: what is not ours is not in their way.
#[tokio::test]
async fn what_is_not_ours_is_left_alone() -> Outcomes {
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    let bindings: Api<ClusterRoleBinding> = Api::all(admin().await?);
    let theirs = json!({
        "metadata": { "generateName": "theirs-" },
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{ "kind": "ServiceAccount", "name": "default", "namespace": "default" }],
    });
    let made = bindings.create(&PostParams::default(), &serde_json::from_value(theirs)?).await?;
    let client = client(&kubeconfig_of_default_account().await?).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };

    let generated = json!({ "metadata": { "generateName": "team-", "labels": { "team": "x" } } });
    let generated: Namespace = serde_json::from_value(generated)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(refused) = namespaces.create(&dry_run, &generated).await {
        assert!(Instant::now() < deadline, "{refused}");
    }
    let own = Patch::Merge(json!({ "metadata": { "labels": { "team": "x" } } }));
    let name = format!("cupel-org-{}", pair.first());
    namespaces.patch(&name, &PatchParams::default(), &own).await?;
    let account = json!({ "metadata": { "generateName": "job-" } });
    let accounts: Api<ServiceAccount> = Api::namespaced(client, &name);
    accounts.create(&dry_run, &serde_json::from_value(account)?).await?;

    // An organization's name is taken by managers only, however it comes about.
    for name in [json!({ "name": "cupel-org-x" }), json!({ "generateName": "cupel-org-" })] {
        let squat = serde_json::from_value(json!({ "metadata": name }))?;
        let refused = namespaces.create(&dry_run, &squat).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
    }
    bindings.delete(&made.metadata.name.unwrap(), &DeleteParams::default()).await?;
    offboard(&cluster, &pair).await
}

#[tokio::test]
async fn the_guards_bind_us_too() -> Outcomes {
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    onboard(&cluster, &pair).await?;
    let namespaces: Api<Namespace> = Api::all(admin().await?);
    let name = format!("cupel-org-{}", pair.first());
    for value in [json!(pair.second().as_str()), json!(null)] {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { "cupel.io/org-id": value } } }));
        let refused = namespaces.patch(&name, &PatchParams::default(), &patch).await;
        assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
    }
    assert!(cluster.erase(pair.first()).await?.is_complete());
    let gone = cluster.prove(&pair).await.unwrap_err();
    assert_eq!(gone.kind(), LayerErrorKind::Refused);
    assert!(cluster.erase(pair.second()).await?.is_complete());
    Ok(())
}
