use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::identifier::{self, IdRule};

/// The name of a service tier. What a tier allows is configuration.
///
/// A tier has the grammar of an identifier: it becomes a Kubernetes label value.
///
/// # Examples
///
/// ```
/// use cupel_tenant::Tier;
///
/// assert_eq!("enterprise".parse::<Tier>()?, Tier::ENTERPRISE);
/// # Ok::<(), cupel_tenant::InvalidTier>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct Tier(Cow<'static, str>);

impl Tier {
    /// The tier of an organization that nothing else was agreed with.
    pub const STANDARD: Self = Self(Cow::Borrowed("standard"));

    /// The tier of an organization with limits of its own.
    pub const ENTERPRISE: Self = Self(Cow::Borrowed("enterprise"));

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tier {
    type Err = InvalidTier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        identifier::check(text).map_err(|rule| InvalidTier { rule })?;
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl TryFrom<String> for Tier {
    type Error = InvalidTier;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Tier> for String {
    fn from(tier: Tier) -> Self {
        tier.0.into_owned()
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tier({})", self.0)
    }
}

/// The text given was not the name of a [`Tier`]. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid tier: {rule}")]
pub struct InvalidTier {
    rule: IdRule,
}

impl InvalidTier {
    /// Returns which rule the text broke.
    pub fn rule(&self) -> IdRule {
        self.rule
    }
}
