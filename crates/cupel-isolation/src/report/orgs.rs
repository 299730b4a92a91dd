use std::time::SystemTime;

use cupel_tenant::OrgRecord;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::table::{Column, table};
use crate::{Certificate, Onboarded};

/// Renders the registry, a row per organization.
pub fn orgs_text(orgs: &[OrgRecord]) -> String {
    if orgs.is_empty() {
        return "no organizations: `cupel onboard ORG` makes the first\n".to_owned();
    }
    table(
        &["organization", "tier", "state", "created"].map(Column::text),
        orgs.iter().map(|it| {
            vec![
                it.org.to_string(),
                it.tier.to_string(),
                it.state.to_string(),
                timestamp(it.created),
            ]
        }),
    )
}

/// Renders the same for a program: `{"organizations": [{"org", "tier", "state", "created"}]}`.
pub fn orgs_json(orgs: &[OrgRecord]) -> Value {
    let orgs: Vec<Value> = orgs
        .iter()
        .map(|it| {
            json!({
                "org": it.org,
                "tier": it.tier,
                "state": it.state,
                "created": timestamp(it.created),
            })
        })
        .collect();
    json!({ "organizations": orgs })
}

/// Renders what onboarding changed in each layer.
pub fn onboarded_text(onboarded: &Onboarded) -> String {
    let mut text = format!("{} is active\n\n", onboarded.org());
    text += &table(
        &[Column::text("layer"), Column::wrapped("changed", 96)],
        onboarded.layers().iter().flat_map(|(layer, changes)| {
            let mut changes: Vec<String> = changes.iter().map(str::to_owned).collect();
            if changes.is_empty() {
                changes.push("nothing: all as wanted".to_owned());
            }
            changes.into_iter().map(|change| vec![layer.to_string(), change])
        }),
    );
    text
}

/// Renders the same for a program: `{"org", "state", "layers": [{"layer", "changes"}]}`.
pub fn onboarded_json(onboarded: &Onboarded) -> Value {
    let layers: Vec<Value> = onboarded
        .layers()
        .iter()
        .map(|(layer, changes)| json!({ "layer": layer, "changes": changes.iter().collect::<Vec<_>>() }))
        .collect();
    json!({ "org": onboarded.org(), "state": "active", "layers": layers })
}

/// Renders what was erased in each layer.
pub fn certificate_text(certificate: &Certificate) -> String {
    let mut text = format!("{} is erased; nothing was found afterwards\n\n", certificate.org());
    text += &table(
        &[Column::text("layer"), Column::wrapped("erased", 96)],
        certificate.layers().iter().flat_map(|(layer, erasure)| {
            let mut items: Vec<String> = erasure.items().iter().map(ToString::to_string).collect();
            if items.is_empty() {
                items.push("there was nothing".to_owned());
            }
            items.into_iter().map(|item| vec![layer.to_string(), item])
        }),
    );
    text
}

/// Renders the same for a program: `{"org", "state", "layers": [{"layer", "erased", "residue"}]}`.
pub fn certificate_json(certificate: &Certificate) -> Value {
    let layers: Vec<Value> = certificate
        .layers()
        .iter()
        .map(|(layer, erasure)| {
            json!({ "layer": layer, "erased": erasure.items(), "residue": erasure.residue() })
        })
        .collect();
    json!({ "org": certificate.org(), "state": "erased", "layers": layers })
}

pub(super) fn timestamp(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| "-".to_owned(), |at| format!("{at:.0}"))
}
