//! What goes wrong, in OpenAI's shape.

use crate::template::TemplateError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clowder_core::ModelName;
use clowder_core::engine::EngineError;
use serde::Serialize;
use std::error::Error;

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) body: ErrorBody,
    /// Whether the same request may succeed in a moment.
    pub(crate) retry: bool,
}

/// OpenAI's error object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorBody {
    pub(crate) message: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
}

/// The object as it is sent.
#[derive(Serialize)]
pub(crate) struct ErrorEnvelope<'a> {
    pub(crate) error: &'a ErrorBody,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: String) -> Self {
        Self { status, body: ErrorBody { message, kind, param: None, code }, retry: false }
    }

    /// A request that is wrong as a whole.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, message.into())
    }

    /// A prompt that is too long however it is tokenized.
    pub(crate) fn context_exceeded(at_least: usize, context: u32) -> Self {
        let mut error = Self::invalid(format!(
            "the prompt has at least {at_least} tokens, the context of this model takes {context}: shorten the prompt or \
             deploy the model with a larger context"
        ));
        error.body.code = Some("context_length_exceeded");
        error
    }

    /// A request with a wrong field.
    pub(crate) fn field(param: &str, message: impl Into<String>) -> Self {
        let mut error = Self::invalid(message);
        error.body.param = Some(param.to_owned());
        error
    }

    /// A request for something that this server does not do.
    pub(crate) fn unsupported(param: &str, message: impl Into<String>) -> Self {
        let mut error = Self::field(param, message);
        error.body.code = Some("unsupported");
        error
    }

    /// A model that is not served here.
    pub(crate) fn model_not_found(asked: &str, served: &str, adapters: &[ModelName]) -> Self {
        let asked: String = asked.chars().take(80).collect();
        let adapters: String = adapters.iter().map(|adapter| format!(" or '{adapter}'")).collect();
        let message = format!("this worker serves the model '{served}'{adapters}, not '{asked}'");
        let mut error = Self::new(StatusCode::NOT_FOUND, "invalid_request_error", Some("model_not_found"), message);
        error.body.param = Some("model".to_owned());
        error
    }

    /// An address that is not served.
    pub(crate) fn unknown_route(method: &str, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        let message = format!("there is no {method} {path} here");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", Some("unknown_url"), message)
    }

    /// A route that is served by other methods.
    pub(crate) fn wrong_method(method: &str, path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        let message = format!("{path} does not take {method}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", Some("method_not_allowed"), message)
    }

    /// A body that is too large, or did not come whole.
    pub(crate) fn body(status: StatusCode, limit: usize) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let message = format!("the request's body is larger than {limit} bytes");
                Self::new(status, "invalid_request_error", Some("body_too_large"), message)
            }
            _ => Self::invalid("the request's body did not arrive whole"),
        }
    }

    /// A missing or wrong API key.
    pub(crate) fn unauthorized() -> Self {
        let message = "this worker asks for its API key: send 'Authorization: Bearer KEY'".to_owned();
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", Some("invalid_api_key"), message)
    }

    /// The worker does not take requests now.
    pub(crate) fn unavailable(code: &'static str, message: &str) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable_error", Some(code), message.to_owned());
        error.retry = true;
        error
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::ContextExceeded { .. } => {
                let mut error = Self::invalid(message);
                error.body.code = Some("context_length_exceeded");
                error
            }
            EngineError::Rejected { .. } => Self::invalid(message),
            EngineError::Overloaded { .. } => {
                let status = StatusCode::TOO_MANY_REQUESTS;
                Self { retry: true, ..Self::new(status, "overloaded_error", Some("queue_full"), message) }
            }
            EngineError::Draining => Self::unavailable("draining", &message),
            error => {
                tracing::error!(error = &error as &dyn Error, "a generation failed");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "server_error", Some("generation_failed"), message)
            }
        }
    }
}

impl From<TemplateError> for ApiError {
    fn from(error: TemplateError) -> Self {
        Self::field("messages", error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorEnvelope { error: &self.body })).into_response();
        if self.retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
