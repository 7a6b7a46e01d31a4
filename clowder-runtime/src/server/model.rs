//! What a client may ask about the model and the worker.

use super::error::ApiError;
use super::fields::Fields;
use super::messages::Conversation;
use super::state::{Body, ServerState};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use clowder_core::ModelName;
use serde_json::{Value, json};
use std::sync::Arc;

/// The most tokens that are turned into text in one call.
const MAX_TOKENS: usize = 1 << 20;

type Answer = Result<Json<Value>, ApiError>;

/// `GET /v1/models`: the model, then its adapters.
pub(crate) async fn list(State(state): State<Arc<ServerState>>) -> Answer {
    let serving = state.model()?;
    let info = serving.engine.info();
    let model = json!({
        "id": state.alias,
        "object": "model",
        "created": state.created(),
        "owned_by": "clowder",
        "meta": {
            "name": info.name,
            "n_vocab": info.vocabulary,
            "n_ctx": info.context,
            "n_ctx_train": info.trained_context,
            "n_params": info.parameters,
            "size": info.weight_bytes,
        },
    });
    let adapter = |name: &ModelName| {
        json!({
            "id": name,
            "object": "model",
            "created": state.created(),
            "owned_by": "clowder",
            "parent": state.alias,
        })
    };
    let all: Vec<Value> = std::iter::once(model).chain(info.adapters.iter().map(adapter)).collect();
    Ok(Json(json!({ "object": "list", "data": all })))
}

/// `GET /health`.
pub(crate) async fn health(State(state): State<Arc<ServerState>>) -> Answer {
    state.model()?;
    Ok(Json(json!({ "status": "ok" })))
}

/// `GET /slots`: slots are alike, so that the first so many stand for those in use.
pub(crate) async fn slots(State(state): State<Arc<ServerState>>) -> Answer {
    let serving = state.model()?;
    let (info, load) = (serving.engine.info(), serving.engine.load());
    let slot = |id: u32| json!({ "id": id, "n_ctx": info.context, "is_processing": id < load.active });
    Ok(Json((0..info.slots).map(slot).collect()))
}

/// `POST /tokenize`.
pub(crate) async fn tokenize(State(state): State<Arc<ServerState>>, headers: HeaderMap, body: Body) -> Answer {
    let fields = Fields::parse(&body.0)?;
    let serving = state.serving(&fields, &headers)?;
    let Some(content) = fields.text("content")? else {
        return Err(ApiError::field("content", "'content' is missing"));
    };
    let special = fields.get("parse_special").is_none() || fields.flag("parse_special")?;
    let mut tokens = serving.tokenize(content, special).await?;
    if fields.flag("add_special")? {
        tokens.splice(0..0, serving.bos);
    }
    if !fields.flag("with_pieces")? {
        return Ok(Json(json!({ "tokens": tokens })));
    }
    let piece = |token: u32| {
        let bytes = serving.engine.detokenize(&[token], true);
        match String::from_utf8(bytes) {
            Ok(text) => json!({ "id": token, "piece": text }),
            Err(error) => json!({ "id": token, "piece": error.into_bytes() }),
        }
    };
    Ok(Json(json!({ "tokens": tokens.into_iter().map(piece).collect::<Vec<_>>() })))
}

/// `POST /detokenize`.
pub(crate) async fn detokenize(State(state): State<Arc<ServerState>>, headers: HeaderMap, body: Body) -> Answer {
    let fields = Fields::parse(&body.0)?;
    let serving = state.serving(&fields, &headers)?;
    let wrong = || ApiError::field("tokens", "'tokens' must be a list of tokens of the vocabulary");
    let Some(Value::Array(tokens)) = fields.get("tokens").filter(|tokens| tokens.is_array()) else {
        return Err(wrong());
    };
    let known = |token: &Value| {
        let token = u32::try_from(token.as_u64()?).ok()?;
        (token < serving.engine.info().vocabulary).then_some(token)
    };
    let tokens: Option<Vec<u32>> = tokens.iter().map(known).collect();
    let tokens = tokens.filter(|tokens| tokens.len() <= MAX_TOKENS).ok_or_else(wrong)?;
    let text = serving.engine.detokenize(&tokens, true);
    Ok(Json(json!({ "content": String::from_utf8_lossy(&text) })))
}

/// `POST /apply-template`.
pub(crate) async fn apply_template(State(state): State<Arc<ServerState>>, headers: HeaderMap, body: Body) -> Answer {
    let mut fields = Fields::parse(&body.0)?;
    let serving = state.serving(&fields, &headers)?;
    let conversation = Conversation::read(&mut fields)?;
    Ok(Json(json!({ "prompt": serving.chat_text(&conversation)? })))
}
