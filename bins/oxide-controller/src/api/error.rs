//! What a refused call is told.

use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use clowder_core::chain;
use clowder_core::infra::InfraError;

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("this call bears no token, or a wrong one: send the controller's as Authorization: Bearer")]
    Unauthorized,
    #[error("there is no such call: docs/api.md lists them")]
    NoSuchCall,
    #[error("this call has another method: docs/api.md lists them")]
    NoSuchMethod,
    #[error("the number of workers has to be 0 or more, as plain text, not {0:?}")]
    NotANumber(String),
    #[error("the body should be {{\"machines\": N}}: {0}")]
    Body(#[source] serde_json::Error),
    #[error(transparent)]
    Infra(#[from] InfraError),
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::NoSuchCall => (StatusCode::NOT_FOUND, "unknown_call"),
            Self::NoSuchMethod => (StatusCode::METHOD_NOT_ALLOWED, "unknown_method"),
            Self::NotANumber(_) | Self::Body(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Infra(InfraError::UnknownPool { .. }) => (StatusCode::NOT_FOUND, "unknown_pool"),
            Self::Infra(InfraError::OutOfRange { .. }) => (StatusCode::CONFLICT, "out_of_range"),
            Self::Infra(_) => (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let body = serde_json::json!({ "error": { "message": chain(&self), "code": code } });
        let mut response = (status, body.to_string()).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
