use cupel_tenant::Tier;
use serde_json::json;

use crate::manifest::{Kind, Manifest};
use crate::names::{MANAGED_BY_LABEL, MANAGER, ORG_LABEL, TIER_LABEL};
use crate::{Blueprint, NamespaceName};

pub(super) fn render(name: &NamespaceName, tier: &Tier, blueprint: &Blueprint) -> Manifest {
    let level = blueprint.pod_security_level().as_str();
    let labels = json!({
        ORG_LABEL: name.org_id().as_str(),
        TIER_LABEL: tier.as_str(),
        MANAGED_BY_LABEL: MANAGER,
        "pod-security.kubernetes.io/enforce": level,
        "pod-security.kubernetes.io/enforce-version": "latest",
        "pod-security.kubernetes.io/warn": level,
        "pod-security.kubernetes.io/warn-version": "latest",
    });
    Manifest::cluster(Kind::Namespace, name.as_str(), &labels, json!({}))
}
