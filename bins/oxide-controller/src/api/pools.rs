//! `/api/v1/pools`: machines as any infrastructure tells them, for whoever scales them by demand.

use super::Api;
use super::error::ApiError;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Json;
use clowder_core::infra::{InfraError, Machine, MachineState, Pool, PoolName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(super) struct Pools {
    pools: BTreeMap<String, PoolView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PoolView {
    desired: u32,
    min: u32,
    max: u32,
    /// Bytes of memory that workers may take on one of its machines.
    machine_memory: u64,
    machines: Vec<MachineView>,
}

#[derive(Serialize)]
struct MachineView {
    node: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<Pool> for PoolView {
    fn from(Pool { desired, min, max, machine_memory, machines }: Pool) -> Self {
        let machines = machines.into_iter().map(MachineView::from).collect();
        Self { desired, min, max, machine_memory, machines }
    }
}

impl From<Machine> for MachineView {
    fn from(machine: Machine) -> Self {
        let (state, reason) = match machine.state {
            MachineState::Creating => ("creating", None),
            MachineState::Running => ("running", None),
            MachineState::Removing => ("removing", None),
            MachineState::Failed { reason } => ("failed", Some(reason)),
            _ => ("other", None),
        };
        Self { node: machine.node.0, state, reason }
    }
}

/// All pools.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Pools>, ApiError> {
    let pools = api.infra.observe().await?.pools.into_iter();
    Ok(Json(Pools { pools: pools.map(|(name, pool)| (name.0, pool.into())).collect() }))
}

/// How many machines of a pool there shall be.
pub(super) async fn scale(
    State(api): State<Api>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<PoolView>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        machines: u32,
    }
    let Wanted { machines } = serde_json::from_slice(&body).map_err(ApiError::Body)?;
    let pool = PoolName(name);
    api.infra.scale(&pool, machines).await?;
    let found = api.infra.observe().await?.pools.remove(&pool);
    Ok(Json(found.ok_or(InfraError::UnknownPool { pool })?.into()))
}
