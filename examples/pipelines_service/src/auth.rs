//! No tenant, no handler: from the token of a request to the handles of one organization.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::Service;
use crate::error::Error;

/// The caller's tenant, in every layer. A handler that takes it runs for no one else.
pub(crate) struct Tenant(pub(crate) cupel_isolation::Tenant);

impl FromRequestParts<Service> for Tenant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Error> {
        let token = bearer(&parts.headers).ok_or(Error::NoToken)?;
        let scope = service.tokens.verify(token)?.scope()?;
        // Refuses organizations that are unknown, suspended or erased.
        Ok(Self(service.isolation.enter(scope).await?))
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
