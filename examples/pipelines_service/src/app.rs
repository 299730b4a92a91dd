//! The routes, and what all requests share.

use std::fmt;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use cupel_isolation::Isolation;

use crate::error::Error;
use crate::{TokenKey, credentials, pipelines, runs, schemas};

/// The longest body of a request, in bytes. A limit of ours.
const MAX_BODY: usize = 64 * 1024;

/// What all requests share: the layers, and the key that tokens are signed with.
///
/// Handlers do not take it. Only the extractor of the tenant does.
#[derive(Clone)]
pub struct Service {
    pub(crate) isolation: Isolation,
    pub(crate) tokens: TokenKey,
}

impl Service {
    /// A service over these layers, for bearers of tokens that this key verifies.
    pub fn new(isolation: Isolation, tokens: TokenKey) -> Self {
        Self { isolation, tokens }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("isolation", &self.isolation).finish_non_exhaustive()
    }
}

/// The service's routes. Every answer but an empty one is JSON.
pub fn app(service: Service) -> Router {
    Router::new()
        .route("/pipelines", get(pipelines::list).post(pipelines::create))
        .route("/pipelines/{id}", get(pipelines::show))
        .route("/pipelines/{id}/credentials", put(credentials::store))
        .route("/pipelines/{id}/runs", post(runs::start).get(runs::list))
        .route("/pipelines/{id}/status", get(runs::status))
        .route("/schemas/{name}", get(schemas::show).put(schemas::store))
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::Method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(service)
}
