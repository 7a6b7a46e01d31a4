//! The REST API: how many machines there shall be, and how the cluster fares.

mod auth;
mod error;
mod listen;
mod pools;
mod workers;

pub(crate) use listen::{ListenError, listen};

use crate::status::Told;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use clowder_core::infra::PoolName;
use clowder_core::{Infra, Secret};
use error::ApiError;
use std::sync::Arc;
use tokio::sync::watch;

/// The largest body that is read, in bytes: a number, or one in an object.
const MAX_BODY: usize = 4 << 10;

/// What the calls work on.
#[derive(Clone)]
pub(crate) struct Api {
    /// The machines.
    pub(crate) infra: Arc<dyn Infra>,
    /// The pool that `/nodes/workers` is about.
    pub(crate) workers: PoolName,
    /// How the cluster fares, as last looked at.
    pub(crate) told: watch::Receiver<Told>,
}

/// The calls; all but those of `/health` bear the token.
pub(crate) fn router(api: Api, token: Secret) -> Router {
    let guarded = Router::new()
        .route("/nodes/workers", get(workers::count))
        .route("/nodes/workers/modify", post(workers::modify))
        .route("/api/v1/status", get(status))
        .route("/api/v1/pools", get(pools::list))
        .route("/api/v1/pools/{name}", put(pools::scale))
        .layer(middleware::from_fn_with_state(auth::Guard::new(token), auth::guard))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    Router::new()
        .route("/health/live", get(|| async { "ok\n" }))
        .route("/health/ready", get(ready))
        .merge(guarded)
        .fallback(|| async { ApiError::NoSuchCall })
        .method_not_allowed_fallback(|| async { ApiError::NoSuchMethod })
        .with_state(api)
}

async fn status(State(api): State<Api>) -> Response {
    Json(&*api.told.borrow()).into_response()
}

async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.told.borrow().is_up() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the cluster is not up yet\n")
    }
}

#[cfg(test)]
mod tests;
