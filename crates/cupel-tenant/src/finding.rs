use std::fmt;

use crate::LayerName;

/// One thing that is wrong with the isolation of a live system, found by reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// The identifier of the rule, stable across versions.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The layer that it was found in.
    pub layer: LayerName,
    /// What it was found on: a table, a namespace, a key.
    pub object: String,
    /// What is wrong.
    pub problem: String,
    /// What it allows.
    pub allows: String,
    /// How to put it right: a statement or a command where there is one.
    pub fix: String,
}

impl Finding {
    /// A finding of `rule` on `object`. The texts say what is wrong, what it allows and how to fix it.
    pub fn new(
        layer: LayerName,
        rule: &'static str,
        severity: Severity,
        object: impl Into<String>,
        problem: impl Into<String>,
        allows: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity,
            layer,
            object: object.into(),
            problem: problem.into(),
            allows: allows.into(),
            fix: fix.into(),
        }
    }

    /// Returns what identifies the finding from one run to the next: layer, rule and object.
    pub fn fingerprint(&self) -> String {
        format!("{}/{}/{}", self.layer, self.rule, self.object)
    }
}

/// How much a [`Finding`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Severity {
    /// Isolation holds. A reader may want to know.
    Info,
    /// Isolation holds, and would hold better.
    Low,
    /// A second mistake would break isolation.
    Medium,
    /// An organization can learn what exists elsewhere, or is one step from its rows.
    High,
    /// An organization reads or writes rows of another now.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Returns the severity as text: its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
