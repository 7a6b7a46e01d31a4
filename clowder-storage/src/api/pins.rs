//! `/pins`: the models that stay.

use super::error::ApiError;
use crate::cache::Cache;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use clowder_core::store::MOST_PINS;
use clowder_core::url::{MAX_LENGTH, ModelUrl};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The longest body, in bytes: as many URLs as may be, each with quotes, comma and blanks.
pub(super) const LONGEST_BODY: usize = MOST_PINS * (MAX_LENGTH + 8) + 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pins {
    pinned: BTreeSet<ModelUrl>,
}

pub(super) async fn get(State(cache): State<Cache>) -> Result<Json<Pins>, ApiError> {
    Ok(Json(Pins { pinned: cache.pins().await? }))
}

pub(super) async fn put(State(cache): State<Cache>, body: Bytes) -> Result<StatusCode, ApiError> {
    let Pins { pinned } = serde_json::from_slice(&body).map_err(ApiError::Pins)?;
    cache.set_pins(pinned).await?;
    Ok(StatusCode::NO_CONTENT)
}
