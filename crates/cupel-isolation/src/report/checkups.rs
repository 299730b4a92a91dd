use cupel_tenant::LayerName;
use serde_json::{Value, json};

use super::causes::chain;
use super::table::{Column, table};
use crate::Checkup;

/// Renders what [`examine`](crate::examine) found, a row per layer.
pub fn checkups_text(checkups: &[(LayerName, Checkup)]) -> String {
    table(
        &[Column::text("layer"), Column::text("state"), Column::wrapped("what is there", 96)],
        checkups.iter().map(|(layer, checkup)| match checkup {
            Checkup::Reachable(health) => {
                let server = format!("{} {}", health.product, health.version);
                let mut what = format!("{} at {}", server.trim_end(), health.endpoint);
                if !health.detail.is_empty() {
                    what = format!("{what}, {}", health.detail);
                }
                vec![layer.to_string(), "ok".to_owned(), what]
            }
            Checkup::Failing(error) => {
                vec![layer.to_string(), "failing".to_owned(), chain(error).join(": ")]
            }
            Checkup::NotConfigured => {
                vec![layer.to_string(), "-".to_owned(), "not configured".to_owned()]
            }
        }),
    )
}

/// Renders the same for a program: `{"layers": [{"layer", "state", …}]}`.
pub fn checkups_json(checkups: &[(LayerName, Checkup)]) -> Value {
    let layers: Vec<Value> = checkups
        .iter()
        .map(|(layer, checkup)| match checkup {
            Checkup::Reachable(health) => json!({
                "layer": layer.as_str(),
                "state": "ok",
                "product": health.product,
                "version": health.version,
                "endpoint": health.endpoint,
                "detail": health.detail,
            }),
            Checkup::Failing(error) => {
                json!({ "layer": layer.as_str(), "state": "failing", "error": chain(error).join(": ") })
            }
            Checkup::NotConfigured => {
                json!({ "layer": layer.as_str(), "state": "not configured" })
            }
        })
        .collect();
    json!({ "layers": layers })
}
