use cupel_k8s_iso::{
    Blueprint, ClusterConfig, Error, InvalidBlueprint, Resources, TenantCluster, TierLimits,
    guards, render,
};
use cupel_tenant::{IsolationLayer, LayerErrorKind, OrgSpec, Tier};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::bed::{
    Outcomes, admin, alone, blueprint, cluster, kubeconfig, kubeconfig_of_default_account, pair,
    shared,
};

async fn connect(kubeconfig: &str) -> Result<TenantCluster, Error> {
    TenantCluster::connect(ClusterConfig::from_text(kubeconfig), blueprint()).await
}

#[tokio::test]
async fn a_kubeconfig_that_does_not_work_is_refused_with_its_remedy() -> Outcomes {
    let good = kubeconfig().await?;
    for text in ["", "x", "clusters: 7", "apiVersion: v1\nkind: Config\n"] {
        assert!(matches!(connect(text).await, Err(Error::Kubeconfig { .. })), "{text:?}");
    }
    let missing = ClusterConfig::from_file("/nowhere/kubeconfig");
    let refused = TenantCluster::connect(missing, blueprint()).await;
    assert!(matches!(refused, Err(Error::Kubeconfig { .. })));
    let context = ClusterConfig::from_text(good).context("nowhere");
    let refused = TenantCluster::connect(context, blueprint()).await;
    assert!(matches!(refused, Err(Error::Kubeconfig { .. })));
    Ok(())
}

#[tokio::test]
async fn a_missing_server_and_a_wrong_token_are_unreachable() -> Outcomes {
    let config = |token: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
             clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
             users: [{{name: u, user: {{token: {token}}}}}]\n\
             contexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n"
        )
    };
    let refused = connect(&config("t")).await.unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused:?}");
    assert_eq!(refused.kind(), LayerErrorKind::Unreachable);

    let mut wrong: serde_json::Value = serde_yaml_ng::from_str(kubeconfig().await?)?;
    for user in wrong.pointer_mut("/users").unwrap().as_array_mut().unwrap() {
        *user.pointer_mut("/user").unwrap() = json!({ "token": "wrong" });
    }
    let refused = connect(&wrong.to_string()).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated { .. }), "{refused:?}");
    assert_eq!(refused.kind(), LayerErrorKind::Unreachable);
    Ok(())
}

#[tokio::test]
async fn a_namespace_of_somebody_else_is_never_taken_over() -> Outcomes {
    // The guard of namespaces keeps the name free; it was taken before there was a guard.
    let _alone = alone().await;
    let (cluster, pair) = (cluster().await?, pair());
    let namespaces: Api<Namespace> = Api::all(admin().await?);
    let name = format!("cupel-org-{}", pair.first());
    let foreign = json!({ "metadata": { "name": name, "labels": { "team": "theirs" } } });
    namespaces.create(&PostParams::default(), &serde_json::from_value(foreign)?).await?;
    let quotas: Api<ResourceQuota> = Api::namespaced(admin().await?, &name);
    let before = namespaces.get(&name).await?.metadata.labels;

    let spec = OrgSpec::new(pair.first().clone(), Tier::STANDARD);
    let refusals = [
        cluster.provision(&spec).await.unwrap_err(),
        cluster.suspend(pair.first()).await.unwrap_err(),
        cluster.resume(pair.first()).await.unwrap_err(),
        cluster.erase(pair.first()).await.unwrap_err(),
        cluster.prove(&pair).await.unwrap_err(),
    ];
    for refused in refusals {
        assert_eq!(refused.kind(), LayerErrorKind::Refused);
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains("is not taken over"), "{cause}");
    }
    assert_eq!(namespaces.get(&name).await?.metadata.labels, before);
    assert!(quotas.list(&ListParams::default()).await?.items.is_empty());
    let findings = cluster.audit(pair.first()).await?;
    assert!(findings.iter().any(|found| found.rule == "C2"), "{findings:#?}");
    namespaces.delete(&name, &DeleteParams::default()).await?;
    Ok(())
}

#[tokio::test]
async fn an_account_without_rights_changes_nothing() -> Outcomes {
    let _shared = shared().await;
    let weak = connect(&kubeconfig_of_default_account().await?).await?;
    assert_eq!(weak.username(), "system:serviceaccount:default:default");
    let pair = pair();
    let spec = OrgSpec::new(pair.first().clone(), Tier::STANDARD);
    let refused = weak.provision(&spec).await.unwrap_err();
    assert_eq!(refused.kind(), LayerErrorKind::Refused);

    // Where the managers are named, an account that is none of them stops before it writes.
    let others = blueprint().managers(["somebody-else"]);
    let config = ClusterConfig::from_text(kubeconfig().await?);
    let stranger = TenantCluster::connect(config, others).await?;
    assert!(matches!(stranger.install_guards().await, Err(Error::NotManager)));
    assert_eq!(stranger.provision(&spec).await.unwrap_err().kind(), LayerErrorKind::Refused);
    let namespaces: Api<Namespace> = Api::all(admin().await?);
    assert!(namespaces.get_opt(&format!("cupel-org-{}", pair.first())).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn an_unknown_tier_is_refused_before_anything_is_asked() -> Outcomes {
    let _shared = shared().await;
    let (cluster, pair) = (cluster().await?, pair());
    let spec = OrgSpec::new(pair.first().clone(), "gold".parse()?);
    assert_eq!(cluster.provision(&spec).await.unwrap_err().kind(), LayerErrorKind::Refused);
    let refused = render(&spec, &blueprint());
    assert!(matches!(refused, Err(Error::UnknownTier { tier }) if tier.as_str() == "gold"));
    Ok(())
}

#[test]
fn limits_that_do_not_fit_are_refused() -> Outcomes {
    let spec = OrgSpec::new("acme".parse()?, Tier::STANDARD);
    let check = |limits: TierLimits, rule: InvalidBlueprint| {
        let refused = render(&spec, &Blueprint::default().tier(Tier::STANDARD, limits));
        assert!(matches!(refused, Err(Error::Blueprint(broken)) if broken == rule), "{rule}");
    };
    let standard = TierLimits::standard;
    check(TierLimits { pods: 0, ..standard() }, InvalidBlueprint::NoPods);
    check(TierLimits { pods: 100_000, ..standard() }, InvalidBlueprint::TooManyPods);
    let tiny = Resources::parse("1", "1Gi")?;
    check(TierLimits { limits: tiny, ..standard() }, InvalidBlueprint::RequestsAboveLimits);
    assert!(Resources::parse("many", "1Gi").is_err());
    Ok(())
}

#[test]
fn guards_without_a_manager_would_refuse_everybody() {
    assert!(matches!(guards(&Blueprint::default()), Err(Error::NotManager)));
    for name in ["", "two words", "line\nbreak", "é"] {
        let refused = guards(&Blueprint::default().managers([name]));
        let rule = InvalidBlueprint::Manager;
        assert!(matches!(refused, Err(Error::Blueprint(broken)) if broken == rule), "{name:?}");
    }
}

#[test]
fn a_managers_name_cannot_leave_its_quotes() -> Outcomes {
    let guards =
        guards(&Blueprint::default().managers(["a\"] || true || \"b\\".replace(' ', "")]))?;
    assert!(guards.to_yaml().contains(r#"["a\"]||true||\"b\\"]"#));
    Ok(())
}
