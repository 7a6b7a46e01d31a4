//! `/nodes/workers`, as the original has it: the number of workers, in plain text.

use super::Api;
use super::error::ApiError;
use axum::extract::State;
use axum::http::StatusCode;
use clowder_core::infra::InfraError;

/// How many there shall be.
pub(super) async fn count(State(api): State<Api>) -> Result<String, ApiError> {
    desired(&api).await.map(|desired| desired.to_string())
}

/// How many there shall be from now on.
pub(super) async fn modify(State(api): State<Api>, body: String) -> Result<(StatusCode, String), ApiError> {
    let text = body.trim();
    let wanted = text.parse().map_err(|_| ApiError::NotANumber(text.chars().take(40).collect()))?;
    let before = desired(&api).await?;
    api.infra.scale(&api.workers, wanted).await?;
    Ok((StatusCode::CREATED, format!("Worker count changed from {before} to {wanted}")))
}

async fn desired(api: &Api) -> Result<u32, ApiError> {
    let pools = api.infra.observe().await?.pools;
    let pool = pools.get(&api.workers).ok_or_else(|| InfraError::UnknownPool { pool: api.workers.clone() })?;
    Ok(pool.desired)
}
