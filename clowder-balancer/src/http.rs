//! All routes, and what every answer has in common.

use crate::error::ApiError;
use crate::gateway::Shared;
use crate::metrics::Levels;
use crate::proxy::headers::REQUEST_ID;
use crate::{openai, ops};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;

const MAX_REQUEST_ID: usize = 128;

pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(front_page))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .merge(openai::router(shared))
        .merge(ops::router(shared))
        .fallback(not_found)
        .method_not_allowed_fallback(async |method: Method| ApiError::method_not_allowed(&method))
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared.clone())
}

/// Gives each request its id, and an open gateway's defence.
async fn guard(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let id = request.headers().get(REQUEST_ID).filter(|id| is_request_id(id)).cloned().unwrap_or_else(new_request_id);
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let allowed = match shared.keys.is_open() {
        true => shared.hosts.check(request.uri(), request.headers()),
        false => Ok(()),
    };
    let mut response = match allowed {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn is_request_id(id: &HeaderValue) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn new_request_id() -> HeaderValue {
    let id = format!("req-{:016x}", rand::random::<u64>());
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("req"))
}

async fn not_found(uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(120).collect();
    ApiError::not_found("path_not_found", format!("There is nothing at {path}: GET / says what there is."))
}

async fn front_page() -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "name": "Clowder gateway",
        "version": env!("CARGO_PKG_VERSION"),
        "openai_api": "/v1",
        "operational_api": "/api/v1",
        "metrics": "/metrics",
        "health": "/health/ready",
    }))
}

async fn live() -> &'static str {
    "ok\n"
}

/// Ready when it knows the control plane's state and is not stopping. It says nothing about models: a gateway without
/// workers still answers, with the reason.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    } else if !shared.directory.is_primed() {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the control plane\n").into_response()
    } else {
        "ok\n".into_response()
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let snapshot = shared.directory.load();
    let levels = Levels {
        in_flight: shared.admission.in_flight(),
        queued: shared.admission.queued(),
        workers_ready: snapshot.routes.values().map(|route| route.serving.len()).sum(),
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.encode(&levels)).into_response()
}
