//! What went wrong, as a status and `{"error":{"message","code"}}`, with `actual` beside them where a digest does not fit.

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use clowder_core::source::SourceError;
use clowder_core::store::StoreError;
use clowder_core::url::InvalidModelUrl;
use serde_json::json;

/// Why a call has no other answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("the path after /content/ is not base64 of a model's URL")]
    NotBase64,
    #[error(transparent)]
    Url(#[from] InvalidModelUrl),
    #[error("the body is not {{\"url\": …}} with optional credentials, credentialsType (bearer or basic) and digest")]
    Body(#[source] serde_json::Error),
    #[error("the body is not {{\"pinned\": [URL]}}")]
    Pins(#[source] serde_json::Error),
    #[error("{url} is not in the cache: POST it to /content/")]
    Absent { url: String },
    #[error("this call needs the storage manager's token: send Authorization: Bearer TOKEN")]
    Unauthorized,
    #[error("calls from web pages are refused; set a token to allow them")]
    FromAWebPage,
    #[error("there is no {method} {path}")]
    NoSuchCall { method: Method, path: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApiError {
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotBase64 | Self::Url(_) => (StatusCode::BAD_REQUEST, "invalid_url"),
            Self::Body(_) | Self::Pins(_) => (StatusCode::BAD_REQUEST, "invalid_body"),
            Self::Absent { .. } => (StatusCode::NOT_FOUND, "not_cached"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::FromAWebPage => (StatusCode::FORBIDDEN, "web_page"),
            Self::NoSuchCall { .. } => (StatusCode::NOT_FOUND, "no_such_call"),
            Self::Store(error) => of_store(error),
        }
    }
}

fn of_store(error: &StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::Source(SourceError::Unsupported { .. }) => (StatusCode::BAD_REQUEST, "unsupported_scheme"),
        StoreError::Source(SourceError::Unusable { .. }) => (StatusCode::BAD_REQUEST, "unusable"),
        StoreError::Source(SourceError::NotFound { .. }) => (StatusCode::NOT_FOUND, "not_found"),
        StoreError::Source(SourceError::Denied { .. }) => (StatusCode::FORBIDDEN, "denied"),
        StoreError::Source(SourceError::Unreachable { .. }) => (StatusCode::BAD_GATEWAY, "unreachable"),
        StoreError::Source(SourceError::Changed { .. }) => (StatusCode::BAD_GATEWAY, "changed"),
        StoreError::DigestMismatch { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "digest_mismatch"),
        StoreError::NotAModel { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "not_a_model"),
        StoreError::TooManyPins(_) => (StatusCode::BAD_REQUEST, "too_many_pins"),
        StoreError::Pinned { .. } => (StatusCode::CONFLICT, "pinned"),
        StoreError::NoSpace { .. } | StoreError::FullOfPinned { .. } => (StatusCode::INSUFFICIENT_STORAGE, "no_space"),
        StoreError::InUse { .. } => (StatusCode::CONFLICT, "in_use"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status();
        let message = clowder_core::chain(&self);
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(message, "a call failed");
        }
        let mut body = json!({"error": {"message": message, "code": code}});
        if let Self::Store(StoreError::DigestMismatch { actual, .. }) = &self {
            body["error"]["actual"] = json!(actual);
        }
        let body = Json(body);
        match status {
            StatusCode::UNAUTHORIZED => (status, [(WWW_AUTHENTICATE, "Bearer")], body).into_response(),
            _ => (status, body).into_response(),
        }
    }
}

pub(super) async fn no_such_call(method: Method, uri: Uri) -> ApiError {
    ApiError::NoSuchCall { method, path: uri.path().to_owned() }
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Response {
    let error = ApiError::NoSuchCall { method, path: uri.path().to_owned() };
    let body = Json(json!({"error": {"message": error.to_string(), "code": "method_not_allowed"}}));
    (StatusCode::METHOD_NOT_ALLOWED, body).into_response()
}
