//! `/api/v1/models`: desired models, one resource each.

use super::change::{CreateModel, PatchModel, other_source};
use super::views::{Listed, ModelView};
use super::{read_json, record};
use crate::error::ApiError;
use crate::gateway::Shared;
use crate::routing::unknown;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use clowder_core::{ModelName, ModelSpec};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Listed<ModelView>> {
    Json(Listed { data: ModelView::all(&shared.directory.load()) })
}

/// Found by any of its names; it is changed and removed by its own.
pub(super) async fn one(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let snapshot = shared.directory.load();
    let model = snapshot.model(&name).ok_or_else(|| unknown(&name, &snapshot))?;
    shown(&shared, model)
}

/// 201 for a new model; 200 where the same name and source were there and took on what is given.
pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let (name, source, patch) = read_json::<CreateModel>(&headers, body).await?.into_parts()?;
    let inventory = shared.directory.load().inventory.clone();
    let is_new = Arc::new(AtomicBool::new(false));
    let (fresh, was_new) = (ModelSpec::new(name.clone(), source), is_new.clone());
    let change = move |current: Option<&ModelSpec>| {
        was_new.store(current.is_none(), Ordering::Relaxed);
        match current {
            Some(spec) if spec.source != fresh.source => Err(other_source(spec)),
            spec => patch.apply(spec.unwrap_or(&fresh), &inventory).map(Some),
        }
    };
    record(&shared, &name, Box::new(change)).await?;
    let status = if is_new.load(Ordering::Relaxed) { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, shown(&shared, &name)?).into_response())
}

pub(super) async fn patch(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let patch: PatchModel = read_json(&headers, body).await?;
    let name = known(&shared, &name)?;
    let snapshot = shared.directory.load();
    let missing = unknown(name.as_str(), &snapshot);
    let inventory = snapshot.inventory.clone();
    let change = move |current: Option<&ModelSpec>| patch.apply(current.ok_or(missing)?, &inventory).map(Some);
    record(&shared, &name, Box::new(change)).await?;
    shown(&shared, &name)
}

pub(super) async fn remove(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let name = known(&shared, &name)?;
    let missing = unknown(name.as_str(), &shared.directory.load());
    let change = move |current: Option<&ModelSpec>| current.map(|_| None).ok_or(missing);
    record(&shared, &name, Box::new(change)).await?;
    Ok(Json(json!({ "name": name, "deleted": true })).into_response())
}

fn known(shared: &Shared, name: &str) -> Result<ModelName, ApiError> {
    name.parse().map_err(|_| unknown(name, &shared.directory.load()))
}

fn shown(shared: &Shared, name: &ModelName) -> Result<Response, ApiError> {
    let snapshot = shared.directory.load();
    match ModelView::new(&snapshot, name) {
        Some(view) => Ok(Json(view).into_response()),
        None => Err(unknown(name.as_str(), &snapshot)),
    }
}
