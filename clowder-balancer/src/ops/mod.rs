//! The operational API, `/api/v1`: desired state in, observed state out. A call records or reads; the reconciler does.

mod change;
mod cluster;
mod logs;
mod models;
mod seed;
mod views;

use crate::body::read_body;
use crate::error::{ApiError, Rejection};
use crate::gateway::Shared;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use clowder_core::desired::DesiredModel;
use clowder_core::{BoxError, ModelName, ModelSpec};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

const MAX_BODY: usize = 1 << 20;
const BODY_TIME: Duration = Duration::from_secs(10);

pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/v1/workers", get(cluster::workers).post(seed::add).delete(seed::remove))
        .route("/api/v1/workers/list", get(seed::list))
        .route("/api/v1/workers/sync", post(seed::sync))
        .route("/api/v1/workers/{name}/logs", get(logs::logs))
        .route("/api/v1/models", get(models::list).post(models::create))
        .route("/api/v1/models/{*name}", get(models::one).patch(models::patch).delete(models::remove))
        .route("/api/v1/nodes", get(cluster::nodes))
        .route("/api/v1/status", get(cluster::status))
        .route("/api/v1/events", get(cluster::events))
        .route("/api/v1/demand", get(cluster::demand))
        .route_layer(from_fn_with_state(shared.clone(), authorize))
}

async fn authorize(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Result<Response, ApiError> {
    shared.keys.authorize_admin(request.headers())?;
    Ok(next.run(request).await)
}

/// The body as JSON, whatever its Content-Type says: curl's default says form data.
async fn read_json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, ApiError> {
    let body = read_body(headers, body, MAX_BODY, BODY_TIME).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let message = match error.is_data() {
            true => format!("The body is not what this call takes: {error}."),
            false => format!("The body is not valid JSON: {error}."),
        };
        ApiError::invalid(None, message)
    })
}

/// A change of the desired state that refuses with what the client is told.
type Change = Box<dyn FnOnce(Option<&ModelSpec>) -> Result<Option<ModelSpec>, ApiError> + Send>;

/// Records a change, and waits until the gateway itself shows it.
async fn record(shared: &Shared, name: &ModelName, change: Change) -> Result<Option<DesiredModel>, ApiError> {
    let change =
        move |current: Option<&ModelSpec>| change(current).map_err(|error| Box::new(Rejection(error)) as BoxError);
    let recorded = shared.parts.desired.update(name, Box::new(change)).await?;
    shared.directory.settled(name, recorded.as_ref().map(|model| model.generation)).await;
    tracing::info!(model = %name, replicas = recorded.as_ref().map(|model| model.spec.replicas), "desired state recorded");
    Ok(recorded)
}
