//! `/api/v1/workers/{name}/logs`: what a worker's processes wrote.

use crate::error::ApiError;
use crate::gateway::Shared;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clowder_core::backend::LogOptions;
use clowder_core::{WorkerId, chain};
use futures::StreamExt;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;

#[derive(Deserialize)]
pub(super) struct LogsQuery {
    tail: Option<usize>,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn logs(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    query: Result<Query<LogsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Ok(Query(LogsQuery { tail, follow })) = query else {
        let message = "The query is not what this call takes: `tail` is a number of lines, `follow` is true or false.";
        return Err(ApiError::invalid(None, message));
    };
    let missing = |_| ApiError::not_found("worker_not_found", "There is no such worker.");
    let worker: WorkerId = name.parse().map_err(missing)?;
    let lines = shared.parts.backend.logs(&worker, LogOptions { tail, follow }).await?;
    let text = lines
        .map(|line| line.map_or_else(|error| format!("(the log broke off: {})\n", chain(&error)), |line| line + "\n"))
        .take_until(shared.stopping.clone().cancelled_owned())
        .map(|line| Ok::<Bytes, Infallible>(line.into()));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(text)).into_response())
}
