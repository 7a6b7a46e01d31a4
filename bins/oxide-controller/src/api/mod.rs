//! The REST API: how many machines there shall be, and how the cluster fares.

mod auth;
mod error;
mod listen;
mod pools;
mod workers;

pub(crate) use listen::{ListenError, listen};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use clowder_core::infra::PoolName;
use clowder_core::{Infra, Secret};
use clowder_oxide::ClusterStatus;
use error::ApiError;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::watch;
use url::Url;

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
    pub(crate) status: watch::Receiver<ClusterStatus>,
    /// Where its Kubernetes API is, once that is known.
    pub(crate) server: watch::Receiver<Option<Url>>,
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

/// How the cluster fares.
#[derive(Serialize)]
struct StatusView<'a> {
    /// The program's version.
    version: &'static str,
    /// Where the Kubernetes API is.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(flatten)]
    status: &'a ClusterStatus,
}

async fn status(State(api): State<Api>) -> Response {
    let server = api.server.borrow().clone();
    let view = StatusView {
        version: env!("CARGO_PKG_VERSION"),
        server: server.as_ref().map(|url| url.as_str().trim_end_matches('/')),
        status: &api.status.borrow(),
    };
    Json(view).into_response()
}

async fn ready(State(api): State<Api>) -> (StatusCode, &'static str) {
    let status = api.status.borrow();
    if status.unseen.is_none() && status.servers.ready > 0 {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the cluster is not up\n")
    }
}

#[cfg(test)]
mod tests;
