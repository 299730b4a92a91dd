//! Signed tokens: what they claim, and the key that verifies them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cupel_isolation::{Actor, OrgId, TenantScope, WorkspaceId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What a token says, once its signature held. It is still text, which the service checks as any other.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "the token's format, which only a new one changes")]
pub struct Claims {
    /// The organization.
    pub org: String,
    /// The user, for audit.
    pub sub: String,
    /// The workspace of the organization, if the token is good for one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// When the token ends, in seconds since 1970-01-01 UTC.
    pub exp: u64,
}

impl Claims {
    /// The only place in the service where text becomes an organization.
    pub(crate) fn scope(&self) -> Result<TenantScope, Error> {
        let org = OrgId::from_str(&self.org).map_err(Error::claim("invalid_organization"))?;
        let actor = Actor::new(&self.sub).map_err(Error::claim("invalid_subject"))?;
        let scope = TenantScope::org(org).acting_as(actor);
        let Some(workspace) = &self.workspace else { return Ok(scope) };
        let workspace = WorkspaceId::from_str(workspace);
        let workspace = workspace.map_err(Error::claim("invalid_workspace"))?;
        scope.narrow_to(workspace).map_err(Error::internal)
    }
}

/// The secret that tokens are signed with, by HMAC-SHA-256.
#[derive(Clone)]
pub struct TokenKey {
    signing: Arc<EncodingKey>,
    verifying: Arc<DecodingKey>,
}

impl TokenKey {
    /// The least length of a secret, in bytes: that of the hash (RFC 7518, section 3.2).
    pub const MIN_LEN: usize = 32;

    /// Takes a secret.
    ///
    /// # Errors
    ///
    /// [`ShortSecret`] if it is shorter than [`TokenKey::MIN_LEN`].
    pub fn new(secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < Self::MIN_LEN {
            return Err(ShortSecret);
        }
        Ok(Self {
            signing: Arc::new(EncodingKey::from_secret(secret)),
            verifying: Arc::new(DecodingKey::from_secret(secret)),
        })
    }

    /// Signs a token. A service leaves that to whoever logs users in; tests are their own.
    ///
    /// # Errors
    ///
    /// What the cryptographic library reports.
    pub fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        encode(&Header::new(Algorithm::HS256), claims, &self.signing)
    }

    /// Returns the claims of a token that this key signed and that has not ended.
    pub(crate) fn verify(&self, token: &str) -> Result<Claims, Error> {
        // One algorithm, named here: what the token's own header asks for is not trusted.
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_required_spec_claims(&["exp", "sub"]);
        rules.leeway = 0;
        match decode(token, &self.verifying, &rules) {
            Ok(token) => Ok(token.claims),
            Err(_) => Err(Error::Token),
        }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// The secret given is too short to sign tokens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token secret has at least {} bytes: choose a longer one", TokenKey::MIN_LEN)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing more to say")]
pub struct ShortSecret;

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims { org: "acme".into(), sub: "alice".into(), workspace: None, exp: u64::MAX / 2 }
    }

    #[test]
    fn a_token_is_good_for_its_own_key_only() {
        let (key, other) = (TokenKey::new(&[1; 32]).unwrap(), TokenKey::new(&[2; 32]).unwrap());
        let token = key.sign(&claims()).unwrap();
        assert_eq!(key.verify(&token).unwrap().org, "acme");
        assert!(matches!(other.verify(&token), Err(Error::Token)));
    }

    #[test]
    fn an_unsigned_token_is_refused() {
        // {"alg":"none"} and the claims of acme.
        let token = "eyJhbGciOiJub25lIn0.eyJvcmciOiJhY21lIiwic3ViIjoiYSIsImV4cCI6OTk5OTk5OTk5OX0.";
        let key = TokenKey::new(&[1; 32]).unwrap();
        assert!(matches!(key.verify(token), Err(Error::Token)));
    }

    #[test]
    fn short_secrets_are_refused() {
        assert_eq!(TokenKey::new(&[1; 31]).map(drop), Err(ShortSecret));
    }
}
