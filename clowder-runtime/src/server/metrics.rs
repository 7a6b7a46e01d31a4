//! `GET /metrics`, in Prometheus' text form.

use super::state::ServerState;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use clowder_core::engine::EngineLoad;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// Counts requests by route and status. Both are of small fixed sets, so that no client can make a label.
type Labels = [(&'static str, String); 2];

/// What the server counts itself; the engine counts the rest.
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    first_token: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { requests: Family::default(), first_token: Histogram::new(exponential_buckets(0.005, 2.0, 14)) }
    }
}

impl Metrics {
    /// A request was answered.
    pub(crate) fn answered(&self, route: &str, status: u16) {
        self.requests.get_or_create(&[("route", route.to_owned()), ("status", status.to_string())]).inc();
    }

    /// A generation began to yield after so long.
    pub(crate) fn first_token(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// All numbers as text.
    fn render(&self, load: &EngineLoad) -> String {
        let mut registry = Registry::with_prefix("clowder_worker");
        registry.register("http_requests", "Requests answered", self.requests.clone());
        registry.register(
            "time_to_first_token_seconds",
            "From a valid request to its first output, queueing included",
            self.first_token.clone(),
        );
        let count = |value: u64| {
            let counter: Counter = Counter::default();
            counter.inc_by(value);
            counter
        };
        let gauge = |value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        registry.register("queued_requests", "Requests that wait for a slot", gauge(load.queued.into()));
        registry.register("active_requests", "Requests in slots", gauge(load.active.into()));
        registry.register("kv_tokens", "Tokens of KV in use", gauge(load.kv_tokens));
        registry.register("kv_capacity_tokens", "Tokens of KV there are", gauge(load.kv_capacity));
        registry.register("prompt_tokens", "Prompt tokens evaluated", count(load.prompt_tokens));
        registry.register("cached_tokens", "Prompt tokens taken from KV", count(load.cached_tokens));
        registry.register("completion_tokens", "Tokens generated", count(load.completion_tokens));
        registry.register("drafted_tokens", "Tokens guessed by the draft model", count(load.drafted_tokens));
        registry.register(
            "accepted_tokens",
            "Tokens guessed by the draft model that the model chose itself",
            count(load.accepted_tokens),
        );
        registry.register("cancelled_requests", "Requests given up by their caller", count(load.cancelled));
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// The handler.
pub(crate) async fn show(State(state): State<Arc<ServerState>>) -> Response {
    let load = state.loaded().map(|serving| serving.engine.load()).unwrap_or_default();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], state.metrics.render(&load)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_a_contract() {
        let metrics = Metrics::default();
        metrics.answered("/v1/models", 200);
        let text = metrics.render(&EngineLoad { kv_capacity: 8, ..EngineLoad::default() });
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        insta::assert_snapshot!(names.join("\n"), @r"
        clowder_worker_http_requests counter
        clowder_worker_time_to_first_token_seconds histogram
        clowder_worker_queued_requests gauge
        clowder_worker_active_requests gauge
        clowder_worker_kv_tokens gauge
        clowder_worker_kv_capacity_tokens gauge
        clowder_worker_prompt_tokens counter
        clowder_worker_cached_tokens counter
        clowder_worker_completion_tokens counter
        clowder_worker_drafted_tokens counter
        clowder_worker_accepted_tokens counter
        clowder_worker_cancelled_requests counter
        ");
        assert!(text.contains("clowder_worker_http_requests_total{route=\"/v1/models\",status=\"200\"} 1"), "{text}");
        assert!(text.contains("clowder_worker_kv_capacity_tokens 8"), "{text}");
    }
}
