//! `/api/v1/pools`: machines as any infrastructure tells them, for whoever scales them by demand.

use super::Api;
use super::error::ApiError;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Json;
use clowder_core::infra::{InfraError, InfraState, Pool, PoolName};
use serde::Deserialize;

/// All pools.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<InfraState>, ApiError> {
    Ok(Json(api.infra.observe().await?))
}

/// How many machines of a pool there shall be.
pub(super) async fn scale(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Pool>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        machines: u32,
    }
    let Wanted { machines } = serde_json::from_slice(&body).map_err(ApiError::Body)?;
    let pool = PoolName(name);
    api.infra.scale(&pool, machines).await?;
    let found = api.infra.observe().await?.pools.remove(&pool);
    Ok(Json(found.ok_or(InfraError::UnknownPool { pool })?))
}
