//! Who may call.

use super::error::ApiError;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::middleware::Next;
use axum::response::Response;
use clowder_core::secret::Secret;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// The token that calls must bear, if any.
#[derive(Clone)]
pub(super) struct Guard(Option<Arc<Secret>>);

impl Guard {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self(token.map(Arc::new))
    }
}

/// Lets a call through that bears the token. Without one, only this machine can call, and no web page in a browser of it.
pub(super) async fn guard(
    State(Guard(token)): State<Guard>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    match token {
        Some(token) => {
            let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
            let borne = header.and_then(|value| value.split_once(' '));
            let borne =
                borne.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
            let fits = borne.is_some_and(|borne| borne.as_bytes().ct_eq(token.expose().as_bytes()).into());
            if !fits {
                return Err(ApiError::Unauthorized);
            }
        }
        None if request.headers().contains_key(ORIGIN) => return Err(ApiError::FromAWebPage),
        None => {}
    }
    Ok(next.run(request).await)
}
