//! What is there and how it fares: workers, nodes, the gateway itself, and changes as they come.

use super::views::{Listed, ModelView, NodeView, WorkerView};
use crate::gateway::Shared;
use axum::Json;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use clowder_core::demand::DemandSource as _;
use clowder_core::store::CachedModel;
use clowder_core::{Node, chain};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Nodes asked for their cache at the same time, and how long each may take.
const CACHES_AT_ONCE: usize = 16;
const CACHE_TIME: Duration = Duration::from_secs(3);
/// The least time between two events about the demand: requests come faster than anybody scales.
const DEMAND_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn workers(State(shared): State<Arc<Shared>>) -> Json<Listed<WorkerView>> {
    let snapshot = shared.directory.load();
    let view = |worker| WorkerView::new(&snapshot, worker);
    Json(Listed { data: snapshot.inventory.workers.values().map(view).collect() })
}

pub(super) async fn nodes(State(shared): State<Arc<Shared>>) -> Json<Listed<NodeView>> {
    let snapshot = shared.directory.load();
    let nodes: Vec<Arc<Node>> = snapshot.inventory.nodes.values().cloned().collect();
    let (shared, snapshot) = (&shared, &snapshot);
    let views = stream::iter(nodes)
        .map(async |node| NodeView::new(snapshot, &node, cache(shared, &node).await))
        .buffered(CACHES_AT_ONCE);
    Json(Listed { data: views.collect().await })
}

async fn cache(shared: &Shared, node: &Node) -> Option<Vec<CachedModel>> {
    match timeout(CACHE_TIME, shared.parts.store.inventory(&node.name)).await {
        Ok(Ok(models)) => return Some(models),
        Ok(Err(error)) => tracing::debug!(node = %node.name, error = %chain(&error), "the node's cache is unknown"),
        Err(_) => tracing::debug!(node = %node.name, "the node's cache does not answer"),
    }
    None
}

pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let snapshot = shared.directory.load();
    let workers_ready: usize = snapshot.routes.values().map(|route| route.serving.len()).sum();
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "policy": shared.proxy.router.policy.name(),
        "nodes": snapshot.inventory.nodes.len(),
        "models": snapshot.desired.len(),
        "workers_ready": workers_ready,
        "workers": snapshot.inventory.workers.len(),
        "in_flight": shared.admission.in_flight(),
        "queued": shared.admission.queued(),
        "requests_total": shared.metrics.requests_total(),
        "errors_total": shared.metrics.errors_total(),
    }))
}

/// The models now and after each change that shows, until the gateway stops.
pub(super) async fn events(State(shared): State<Arc<Shared>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stopping = shared.stopping.clone();
    let mut versions = shared.directory.versions();
    versions.mark_changed();
    let start = (shared, versions, String::new());
    let events = stream::unfold(start, async |(shared, mut versions, mut last)| {
        loop {
            versions.changed().await.ok()?;
            let models = serde_json::to_string(&ModelView::all(&shared.directory.load())).ok()?;
            if models != last {
                last.clone_from(&models);
                let event = Event::default().event("models").data(models);
                return Some((Ok(event), (shared, versions, last)));
            }
        }
    });
    Sse::new(events.take_until(stopping.cancelled_owned())).keep_alive(KeepAlive::default())
}

/// Requests of each model at this gateway, waiting and under way, now and after each change, until the gateway stops.
pub(super) async fn demand(State(shared): State<Arc<Shared>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stopping = shared.stopping.clone();
    let events = shared.parts.demand.watch().then(|demands| async move {
        tokio::time::sleep(DEMAND_PAUSE).await;
        Ok(Event::default().event("demand").json_data(&*demands).unwrap_or_default())
    });
    Sse::new(events.take_until(stopping.cancelled_owned())).keep_alive(KeepAlive::default())
}
