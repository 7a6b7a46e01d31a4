//! Errors as clients see them: OpenAI's shape everywhere, and the one place where conditions become statuses.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clowder_core::desired::{DesiredError, NameTaken};
use clowder_core::{BackendError, chain};
use serde::Serialize;
use std::time::Duration;

/// An answer that says what is wrong, where, and what to do.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    kind: &'static str,
    code: &'static str,
    param: Option<String>,
    message: String,
    retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Fields<'a>,
}

#[derive(Serialize)]
struct Fields<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code, param: None, message: message.into(), retry_after: None }
    }

    pub(crate) fn invalid(param: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_value", message);
        Self { param: param.into().map(str::to_owned), ..error }
    }

    pub(crate) fn missing(param: &'static str, message: impl Into<String>) -> Self {
        Self { code: "missing_required_parameter", ..Self::invalid(param, message) }
    }

    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", code, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "invalid_request_error", "model_exists", message)
    }

    pub(crate) fn method_not_allowed(method: &axum::http::Method) -> Self {
        let message = format!("{method} is not a method of this path.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "method_not_allowed", message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key", message)
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", code, message)
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let message = format!("The body is larger than the {limit} bytes taken: shorten the request.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error", "body_too_large", message)
    }

    pub(crate) fn body_too_slow(limit: Duration) -> Self {
        let message = format!("The body did not arrive within {} s.", limit.as_secs());
        Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "body_timeout", message)
    }

    pub(crate) fn overloaded(code: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", code, message);
        Self { retry_after: Some(retry_after), ..error }
    }

    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", code, message);
        Self { retry_after: Some(retry_after), ..error }
    }

    pub(crate) fn bad_gateway(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "server_error", "worker_failed", message)
    }

    pub(crate) fn worker_timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "worker_timeout", message)
    }

    /// The answer's JSON.
    pub(crate) fn to_json(&self) -> String {
        let fields = Fields { message: &self.message, kind: self.kind, param: self.param.as_deref(), code: self.code };
        serde_json::to_string(&Envelope { error: fields }).unwrap_or_default()
    }
}

const CONTROL_PLANE_RETRY: Duration = Duration::from_secs(5);

impl From<BackendError> for ApiError {
    fn from(error: BackendError) -> Self {
        match &error {
            BackendError::UnknownWorker { .. } => Self::not_found("worker_not_found", format!("{error}.")),
            BackendError::UnknownNode { .. } => Self::not_found("node_not_found", format!("{error}.")),
            _ => {
                tracing::warn!(error = %chain(&error), "the backend did not answer");
                Self::unavailable("backend_unavailable", format!("{}.", chain(&error)), CONTROL_PLANE_RETRY)
            }
        }
    }
}

impl From<DesiredError> for ApiError {
    fn from(error: DesiredError) -> Self {
        match error {
            DesiredError::Rejected(reason) => match reason.downcast::<Rejection>() {
                Ok(rejection) => rejection.0,
                Err(other) if other.is::<NameTaken>() => Self::conflict(format!("{other}.")),
                Err(other) => Self::invalid(None, format!("{other}.")),
            },
            other => {
                tracing::warn!(error = %chain(&other), "the desired state was not recorded");
                Self::unavailable("store_unavailable", format!("{}.", chain(&other)), CONTROL_PLANE_RETRY)
            }
        }
    }
}

/// An [`ApiError`] on its way through a change of the desired state.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct Rejection(pub(crate) ApiError);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        let mut response = (self.status, json, self.to_json()).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
