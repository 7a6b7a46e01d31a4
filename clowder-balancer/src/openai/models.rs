//! `/v1/models`: what may be asked for.

use crate::directory::Snapshot;
use crate::error::ApiError;
use crate::gateway::Shared;
use crate::routing::unknown;
use axum::Json;
use axum::extract::{Path, State};
use clowder_core::ModelName;
use clowder_core::status::ModelPhase;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// OpenAI's model object, one for each name that a model may be asked for by, and whether it can answer now. That of an
/// adapter names its model as its parent.
#[derive(Serialize)]
pub(super) struct Model {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ModelName>,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    permissions: [(); 0],
    ready: bool,
    phase: ModelPhase,
}

fn view(shared: &Shared, snapshot: &Snapshot, id: &str, name: &ModelName) -> Model {
    Model {
        id: id.to_owned(),
        parent: snapshot.is_adapter(id, name).then(|| name.clone()),
        object: "model",
        created: shared.started_unix,
        owned_by: "user",
        permissions: [],
        ready: snapshot.routes.get(name.as_str()).is_some_and(|route| !route.serving.is_empty()),
        phase: snapshot.status(name).map_or(ModelPhase::Pending, |status| status.phase),
    }
}

pub(super) async fn list(State(shared): State<Arc<Shared>>) -> Json<ModelList> {
    shared.directory.primed(shared.config.timeouts.worker_wait).await;
    let snapshot = shared.directory.load();
    let own = snapshot.desired.keys().map(|name| (name.as_str(), name));
    let further = snapshot.aliases.iter().map(|(alias, name)| (alias.as_str(), name));
    let names: BTreeMap<&str, &ModelName> = own.chain(further).collect();
    let data = names.into_iter().map(|(id, name)| view(&shared, &snapshot, id, name)).collect();
    Json(ModelList { object: "list", data })
}

pub(super) async fn one(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Result<Json<Model>, ApiError> {
    shared.directory.primed(shared.config.timeouts.worker_wait).await;
    let snapshot = shared.directory.load();
    match snapshot.model(&id) {
        Some(name) => Ok(Json(view(&shared, &snapshot, &id, name))),
        None => Err(unknown(&id, &snapshot)),
    }
}
