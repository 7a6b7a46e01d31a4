//! The four calls of the original balancer, `/api/v1/workers…`, on desired state: a worker asked for is a replica asked
//! for.

use super::change::{AddWorker, credentials, known_node, name, url, without_worker};
use super::{read_json, record};
use crate::error::ApiError;
use crate::gateway::Shared;
use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use clowder_core::secret::CredentialsKind;
use clowder_core::{ModelSpec, WorkerId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// The original's body; fields it does not know are left alone, as it did.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AddBody {
    model_url: String,
    model_alias: Option<String>,
    node_name: Option<String>,
    credentials: Option<String>,
    credentials_type: Option<CredentialsKind>,
}

/// A new alias gets one worker; the same alias and URL again, one more. Under autoscaling it is the fewest that grows.
pub(super) async fn add(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    // Clients of the original send empty strings for what they leave out.
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let body: AddBody = read_json(&headers, body).await?;
    let source = url("modelUrl", &body.model_url)?;
    let name = name("modelAlias", given(body.model_alias).as_deref(), &source)?;
    let node = given(body.node_name).map(|node| node.as_str().into());
    let inventory = shared.directory.load().inventory.clone();
    if let Some(node) = &node {
        known_node("nodeName", node, &inventory)?;
    }
    let kind = body.credentials_type.unwrap_or_default();
    let credentials = match given(body.credentials) {
        Some(value) => Some(credentials("credentials", value, kind)?),
        None => None,
    };
    let ask = AddWorker { name: name.clone(), source, node, credentials };
    let change = move |current: Option<&ModelSpec>| ask.apply(current, &inventory).map(Some);
    let recorded = record(&shared, &name, Box::new(change)).await?;
    let (spec, generation) = recorded.map_or((None, 0), |model| (Some(model.spec), model.generation));
    let fewest = spec.as_ref().and_then(|spec| spec.autoscaling).map(|bounds| bounds.min);
    let replicas = fewest.or(spec.map(|spec| spec.replicas)).unwrap_or(0);
    let least = if fewest.is_some() { "at least " } else { "" };
    let workers = if replicas == 1 { "worker" } else { "workers" };
    Ok(Json(json!({
        "status": "success",
        "message": format!("{name} shall have {least}{replicas} {workers}"),
        "model": name,
        "replicas": replicas,
        "generation": generation,
    })))
}

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let snapshot = shared.directory.load();
    let workers: Vec<Value> = snapshot
        .inventory
        .workers
        .values()
        .map(|worker| {
            json!({
                "name": worker.id,
                "model_name": worker.model,
                "model_alias": worker.model,
                "node": worker.node,
                "state": worker.state.phase(),
            })
        })
        .collect();
    Json(json!({ "status": "success", "count": workers.len(), "workers": workers }))
}

/// The gateway follows its backend all the time; what is left of the original's call is to prove that the backend answers.
pub(super) async fn sync(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, ApiError> {
    let inventory = shared.parts.backend.inventory().await?;
    Ok(Json(json!({
        "status": "success",
        "message": "Workers synchronized",
        "count": inventory.workers.len(),
    })))
}

#[derive(Deserialize)]
pub(super) struct RemoveQuery {
    name: Option<String>,
}

/// One replica fewer, and it is this one that goes. The last one takes its model along, unless the demand decides how many
/// there are.
pub(super) async fn remove(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<RemoveQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let name = query.ok().and_then(|Query(query)| query.name).unwrap_or_default();
    if name.is_empty() {
        return Err(ApiError::missing("name", "`name` is missing: DELETE /api/v1/workers?name=WORKER."));
    }
    let snapshot = shared.directory.load();
    let shown: String = name.chars().take(80).collect();
    let missing = || {
        let message = format!("There is no worker {shown:?}: GET /api/v1/workers/list names them.");
        ApiError::not_found("worker_not_found", message)
    };
    let id: WorkerId = name.parse().map_err(|_| missing())?;
    let worker = snapshot.inventory.workers.get(&id).ok_or_else(missing)?.clone();
    let found_in_router = snapshot.endpoints.contains_key(&id) && worker.serving().is_some();
    let inventory = snapshot.inventory.clone();
    let leaving = worker.clone();
    // A worker whose model is no longer desired is on its way out already.
    let change =
        move |current: Option<&ModelSpec>| Ok(current.and_then(|spec| without_worker(spec, &leaving, &inventory)));
    record(&shared, &worker.model, Box::new(change)).await?;
    Ok(Json(json!({
        "status": "success",
        "message": format!("Worker {id} deleted"),
        "found_in_router": found_in_router,
    })))
}
