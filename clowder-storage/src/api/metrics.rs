//! `/metrics`: Prometheus text.

use super::error::ApiError;
use crate::cache::Cache;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use std::fmt::Write;

pub(super) async fn metrics(State(cache): State<Cache>) -> Result<Response, ApiError> {
    let (usage, entries, activity) = (cache.usage().await?, cache.list().await?, cache.activity());
    let complete = entries.iter().filter(|entry| entry.complete).count() as u64;
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: u64| {
        writeln!(text, "# HELP clowder_storage_{name} {help}\n# TYPE clowder_storage_{name} {kind}").ok();
        writeln!(text, "clowder_storage_{name} {value}").ok();
    };
    metric("models", "gauge", "Models that are whole.", complete);
    metric(
        "models_incomplete",
        "gauge",
        "Models whose fetch is under way or broke off.",
        entries.len() as u64 - complete,
    );
    metric("models_bytes", "gauge", "Bytes of whole models in the cache.", usage.models);
    metric("partial_bytes", "gauge", "Bytes of fetches under way or broken off.", usage.partial);
    metric("disk_free_bytes", "gauge", "Bytes free on the cache's disk.", usage.free);
    if let Some(limit) = usage.limit {
        metric("limit_bytes", "gauge", "The most bytes that the cache may take.", limit);
    }
    metric("fetches_running", "gauge", "Models being fetched now.", activity.fetching);
    metric("fetches_completed_total", "counter", "Fetches that completed.", activity.fetched);
    metric("fetches_failed_total", "counter", "Fetches that failed.", activity.failed);
    metric("received_bytes_total", "counter", "Bytes taken from sources.", activity.received);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
