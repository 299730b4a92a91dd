//! What goes wrong, and what a client is told of it: a status, a code, and words without secrets.

use std::fmt;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cupel_isolation::{LayerErrorKind, OrgState, cache, database, keys, queues};
use serde_json::json;

use crate::name::InvalidName;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request was not answered. What belongs to another organization and what does not exist are
/// the same here: neither the caller nor this service can tell them apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the request has no token: send `Authorization: Bearer TOKEN`")]
    NoToken,

    #[error("the token is malformed, expired or not signed by us: log in again")]
    Token,

    /// The signature held, and the claim breaks a rule: whoever issues tokens has a bug.
    #[error("{rule}")]
    Claim { code: &'static str, rule: String },

    #[error("the organization is not known here: ask for it to be onboarded")]
    Unknown,

    #[error("the organization is not active: ask for it to be resumed")]
    NotActive,

    #[error("a token of a workspace reads this and does not write it: use one of the organization")]
    ReadOnly,

    #[error(transparent)]
    Name(#[from] InvalidName),

    #[error("{0}")]
    Field(&'static str),

    #[error("the body is not the JSON that this route takes: its README shows it")]
    Body { status: StatusCode },

    #[error("there is no such thing")]
    NotFound,

    #[error("the route takes other methods")]
    Method,

    #[error("this name is taken: choose another")]
    Taken,

    #[error("a server behind this service does not answer: try again")]
    Unavailable(#[source] BoxError),

    #[error("something went wrong here")]
    Internal(#[source] BoxError),
}

impl Error {
    pub(crate) fn claim<E: fmt::Display>(code: &'static str) -> impl FnOnce(E) -> Self {
        move |broken| Self::Claim { code, rule: broken.to_string() }
    }

    pub(crate) fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal(source.into())
    }

    /// What a layer could not do, and no request is to blame for.
    fn layer(kind: LayerErrorKind, source: impl Into<BoxError>) -> Self {
        match kind {
            LayerErrorKind::Refused => Self::Internal(source.into()),
            _ => Self::Unavailable(source.into()),
        }
    }

    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "no_token"),
            Self::Token => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::Claim { code, .. } => (StatusCode::BAD_REQUEST, code),
            Self::Unknown => (StatusCode::FORBIDDEN, "unknown_organization"),
            Self::NotActive => (StatusCode::FORBIDDEN, "organization_not_active"),
            Self::ReadOnly => (StatusCode::FORBIDDEN, "read_only"),
            Self::Name(_) => (StatusCode::BAD_REQUEST, "invalid_name"),
            Self::Field(_) => (StatusCode::BAD_REQUEST, "invalid_field"),
            Self::Body { status } => (*status, "invalid_body"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Taken => (StatusCode::CONFLICT, "taken"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        if let Self::Unavailable(cause) | Self::Internal(cause) = &self {
            // The cause is for the log: it may hold what no client should read.
            tracing::error!(cause = chain(cause.as_ref()), "{self}");
        }
        let body = json!({ "error": { "code": code, "message": self.to_string() } });
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl From<JsonRejection> for Error {
    fn from(rejection: JsonRejection) -> Self {
        Self::Body { status: rejection.status() }
    }
}

impl From<cupel_isolation::Error> for Error {
    fn from(error: cupel_isolation::Error) -> Self {
        match error {
            cupel_isolation::Error::Unknown { .. } => Self::Unknown,
            // Nobody is told that an organization was there before.
            cupel_isolation::Error::State { state: OrgState::Erased, .. } => Self::Unknown,
            cupel_isolation::Error::State { .. } => Self::NotActive,
            cupel_isolation::Error::Layer(error) => Self::layer(error.kind(), error),
            error => Self::internal(error),
        }
    }
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::OrgRefused { .. } => Self::NotActive,
            error => Self::layer(error.kind(), error),
        }
    }
}

/// What a statement ran into. The codes are those of PostgreSQL's documentation, appendix A.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        match code.as_deref() {
            // foreign_key_violation: keys carry the organization, so another's row is no row.
            Some("23503") => Self::NotFound,
            // unique_violation.
            Some("23505") => Self::Taken,
            // insufficient_privilege: a row-level policy refused a new row.
            Some("42501") => Self::ReadOnly,
            Some(_) => Self::internal(error),
            None => Self::Unavailable(error.into()),
        }
    }
}

impl From<cache::Error> for Error {
    fn from(error: cache::Error) -> Self {
        match error {
            cache::Error::Load { source } => match source.downcast::<Self>() {
                Ok(error) => *error,
                Err(source) => Self::Internal(source),
            },
            cache::Error::Suspended => Self::NotActive,
            error => Self::layer(error.kind(), error),
        }
    }
}

impl From<keys::Error> for Error {
    fn from(error: keys::Error) -> Self {
        match error {
            keys::Error::AwaitsDeletion | keys::Error::Disabled => Self::NotActive,
            error => Self::layer(error.kind(), error),
        }
    }
}

impl From<queues::Error> for Error {
    fn from(error: queues::Error) -> Self {
        match error {
            queues::Error::AlreadyRunning => Self::Taken,
            queues::Error::Suspended { .. } => Self::NotActive,
            error => Self::layer(error.kind(), error),
        }
    }
}
