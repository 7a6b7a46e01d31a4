//! Whether the controller is well, and what it sees: `/health/live`, `/health/ready`, `/metrics`.

use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clowder_core::Inventory;
use clowder_core::status::{ModelPhase, ModelStatuses};
use clowder_k8s::feeds::Heard;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::sync::watch;

/// How a feed fares at the moment.
pub(crate) type HeardNow = Arc<dyn Fn() -> Heard + Send + Sync>;

/// What there is to tell. Every controller knows the cluster; the leader alone knows how its models fare.
#[derive(Clone)]
pub(crate) struct Health {
    /// Nodes and workers, once observed.
    pub(crate) inventory: watch::Receiver<Option<Arc<Inventory>>>,
    /// How the models fare, while this one leads.
    pub(crate) statuses: watch::Receiver<Option<Arc<ModelStatuses>>>,
    /// What Pods of each part of the installation are listened to, and how that fares now.
    pub(crate) feeds: Vec<(&'static str, HeardNow)>,
    /// What it counts.
    pub(crate) metrics: Metrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Listened {
    part: &'static str,
    heard: &'static str,
}

/// The calls.
pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/health/live", get(|| async { "ok\n" }))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    match *health.inventory.borrow() {
        Some(_) => (StatusCode::OK, "ok\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the cluster is not observed yet\n"),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    let (leader, nodes) = (Gauge::<i64>::default(), Gauge::<i64>::default());
    let (workers, models) = (Family::<Phase, Gauge>::default(), Family::<Phase, Gauge>::default());
    if let Some(inventory) = &*health.inventory.borrow() {
        nodes.set(inventory.nodes.len().try_into().unwrap_or(i64::MAX));
        for worker in inventory.workers.values() {
            workers.get_or_create(&Phase { phase: worker.state.phase() }).inc();
        }
    }
    if let Some(statuses) = &*health.statuses.borrow() {
        leader.set(1);
        for status in statuses.values() {
            models.get_or_create(&Phase { phase: name(status.phase) }).inc();
        }
    }
    let pods = Family::<Listened, Gauge>::default();
    for (part, feed) in &health.feeds {
        let now = feed();
        for (heard, count) in [("true", now.heard), ("false", now.pods - now.heard)] {
            pods.get_or_create(&Listened { part, heard }).set(count.try_into().unwrap_or(i64::MAX));
        }
    }
    let mut registry = Registry::with_prefix("clowder_controller");
    registry.register("leader", "Whether this controller leads", leader);
    registry.register("nodes", "Nodes observed", nodes);
    registry.register("workers", "Workers observed, by phase", workers);
    registry.register("models", "Models desired, by phase, as the leader sees them", models);
    registry.register("pods", "Gateways and storage managers listened to, by whether they are heard", pods);
    health.metrics.register(&mut registry);
    let mut page = String::new();
    match text::encode(&mut page, &registry) {
        Ok(()) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], page).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn name(phase: ModelPhase) -> &'static str {
    match phase {
        ModelPhase::Pending => "pending",
        ModelPhase::Fetching => "fetching",
        ModelPhase::Starting => "starting",
        ModelPhase::Ready => "ready",
        ModelPhase::Degraded => "degraded",
        ModelPhase::Failed => "failed",
        ModelPhase::Idle => "idle",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn pods_that_are_not_heard_are_counted() {
        let ((_inventories, inventory), (_told, statuses)) = (watch::channel(None), watch::channel(None));
        let heard: HeardNow = Arc::new(|| Heard { pods: 3, heard: 2 });
        let health = Health { inventory, statuses, feeds: vec![("gateway", heard)], metrics: Metrics::default() };
        let answer = router(health).oneshot(Request::get("/metrics").body(Body::empty()).unwrap()).await.unwrap();
        let page = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        for (heard, count) in [("true", 2), ("false", 1)] {
            let line = format!("clowder_controller_pods{{part=\"gateway\",heard=\"{heard}\"}} {count}\n");
            assert!(page.contains(&line), "{page}");
        }
    }
}
