use std::fmt;

use serde::Deserialize;

/// Where a service runs, which decides what is refused and what is only warned of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "a third kind would have to choose between the two")]
pub enum Environment {
    /// Refuses local keyrings, and plain-text endpoints of Redis, Temporal and KMS beyond loopback. The
    /// default. The encryption of PostgreSQL is what its URL says (`sslmode`), and its audit is not yet
    /// asked at the start.
    #[default]
    Production,
    /// Warns of what production refuses.
    Development,
}

impl Environment {
    /// Returns whether this is production.
    pub fn is_production(self) -> bool {
        self == Self::Production
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Production => "production",
            Self::Development => "development",
        })
    }
}
