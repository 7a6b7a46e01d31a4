//! Who may call.

use super::error::ApiError;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use clowder_core::Secret;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The token that calls bear.
#[derive(Clone)]
pub(super) struct Guard(Arc<Secret>);

impl Guard {
    pub(super) fn new(token: Secret) -> Self {
        Self(Arc::new(token))
    }
}

/// Lets a call through that bears the token.
pub(super) async fn guard(
    State(Guard(token)): State<Guard>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let borne = header.and_then(|value| value.split_once(' '));
    let borne = borne.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    if borne.is_some_and(|borne| borne.as_bytes().ct_eq(token.expose().as_bytes()).into()) {
        Ok(next.run(request).await)
    } else {
        Err(ApiError::Unauthorized)
    }
}
