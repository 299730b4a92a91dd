//! What a client may call things. Checked once, where text enters.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The name of a pipeline, a run or a schema. The last part of a path is one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl Name {
    pub(crate) const MAX_LEN: usize = 64;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let allowed = |byte: &u8| plain(byte) || matches!(byte, b'-' | b'_' | b'.');
        match text.as_bytes() {
            bytes @ [first, ..]
                if bytes.len() <= Self::MAX_LEN && plain(first) && bytes.iter().all(allowed) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidName),
        }
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// So that a handler takes its path as a [`Name`]: `/pipelines/{id}`.
impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        // Refused here is what is not UTF-8, and so no name.
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(path.map_err(|_| InvalidName)?.parse()?)
    }
}

/// The text given is not a [`Name`]. It is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid name: it has 1 to {} bytes of a-z, 0-9, '-', '_' and '.', the first a letter or digit",
    Name::MAX_LEN
)]
pub(crate) struct InvalidName;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_nothing_to_a_path_a_query_or_a_shell() {
        for name in ["nightly", "2026-11-23", "crm.contacts_v2", &"a".repeat(64)] {
            assert!(name.parse::<Name>().is_ok(), "{name:?}");
        }
        let long = "a".repeat(65);
        for text in ["", ".", "..", "-a", "Nightly", "a/b", "a b", "a'", "a\0", "ä", &long] {
            assert_eq!(text.parse::<Name>(), Err(InvalidName), "{text:?}");
        }
    }
}
