//! Findings that are known: a JSON object from fingerprint to severity, sorted, a line each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cupel_isolation::{Finding, Severity};

/// What was found before.
#[derive(Debug)]
pub(super) struct Baseline(BTreeMap<String, Severity>);

impl Baseline {
    pub(super) fn of(findings: &[Finding]) -> Self {
        let mut known = BTreeMap::new();
        for finding in findings {
            let worst = known.entry(finding.fingerprint()).or_insert(finding.severity);
            *worst = finding.severity.max(*worst);
        }
        Self(known)
    }

    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let path_text = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            format!("the baseline {path_text} cannot be read: {error}; write one with --write-baseline {path_text}")
        })?;
        let refused = |why: String| {
            format!(
                "{path_text} is not a baseline: {why}; write one with --write-baseline {path_text}"
            )
        };
        let known: BTreeMap<String, String> =
            serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        let severity = |name: &str| Severity::ALL.into_iter().find(|it| it.as_str() == name);
        let known = known.into_iter().map(|(fingerprint, name)| {
            let severity = severity(&name);
            severity
                .map(|it| (fingerprint, it))
                .ok_or_else(|| refused(format!("{name:?} is no severity")))
        });
        known.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let known: BTreeMap<&str, &str> =
            self.0.iter().map(|(fingerprint, it)| (fingerprint.as_str(), it.as_str())).collect();
        let text = format!("{:#}\n", serde_json::json!(known));
        fs::write(path, text)
            .map_err(|error| format!("the baseline {} cannot be written: {error}", path.display()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the finding is known, and no worse than it was.
    pub(super) fn knows(&self, finding: &Finding) -> bool {
        self.0.get(&finding.fingerprint()).is_some_and(|known| finding.severity <= *known)
    }

    /// The fingerprints that none of the findings has.
    pub(super) fn stale(&self, findings: &[Finding]) -> Vec<&str> {
        let present = Self::of(findings).0;
        self.0.keys().filter(|it| !present.contains_key(*it)).map(String::as_str).collect()
    }
}
