//! The HTTP server of one worker: OpenAI's API for one model.

mod chat;
mod completions;
mod error;
mod fields;
mod generation;
mod messages;
mod metrics;
mod model;
mod params;
mod sse;
mod state;
mod tool_calls;
mod wire;

use crate::template::ChatTemplate;
use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use clowder_core::engine::Engine;
use clowder_core::{ModelName, Secret};
use error::ApiError;
use state::{ServerState, Serving, longest_token};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// How a server is made.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The name that clients ask for.
    pub alias: ModelName,
    /// What every request but those for `/health` and `/metrics` must bring, where given.
    pub api_key: Option<Secret>,
    /// The most bytes of a request's body.
    pub body_limit: usize,
}

impl ServerOptions {
    /// Bodies of at most 32 MiB as at the gateway, and no key.
    pub fn new(alias: ModelName) -> Self {
        Self { alias, api_key: None, body_limit: 32 << 20 }
    }
}

/// A server; clones share their state.
///
/// It listens nowhere by itself: [`router`](Self::router) is what a listener, or a test, is given. It answers 503 until
/// [`ready`](Self::ready) brings a model, and from [`drain`](Self::drain) on.
#[derive(Clone)]
pub struct Server {
    state: Arc<ServerState>,
}

impl Server {
    /// A server whose model is still to come.
    pub fn new(options: ServerOptions) -> Self {
        let ServerOptions { alias, api_key, body_limit } = options;
        Self { state: Arc::new(ServerState::new(alias.to_string(), api_key, body_limit)) }
    }

    /// Brings the model. `adds_bos` is whether its vocabulary wants its first token before every prompt. Only the first
    /// call counts. A model whose chat template does not compile serves all but chats.
    pub fn ready(&self, engine: Arc<dyn Engine>, adds_bos: bool) {
        let info = engine.info();
        let template = ChatTemplate::new(info.chat_template.as_deref(), info.bos.as_deref(), info.eos.as_deref());
        if let Err(error) = &template {
            tracing::warn!(%error, "chats will be refused");
        }
        let bos = info.bos.as_deref().filter(|_| adds_bos);
        let bos = bos.and_then(|bos| engine.tokenize(bos, true).ok()).and_then(|tokens| tokens.first().copied());
        let fingerprint = format!("clowder-{}-{:x}", env!("CARGO_PKG_VERSION"), info.weight_bytes ^ info.parameters);
        let longest_token = longest_token(engine.as_ref());
        self.state.ready(Serving { template, bos, longest_token, fingerprint, engine });
    }

    /// Takes nothing new: `/health` and all else answer 503. What was begun goes on.
    pub fn drain(&self) {
        self.state.drain();
    }

    /// All routes.
    pub fn router(&self) -> Router {
        let state = Arc::clone(&self.state);
        let guarded = Router::new()
            .route("/v1/chat/completions", post(chat::complete))
            .route("/v1/chat_completions", post(chat::complete))
            .route("/v1/completions", post(completions::complete))
            .route("/v1/models", get(model::list))
            .route("/tokenize", post(model::tokenize))
            .route("/detokenize", post(model::detokenize))
            .route("/apply-template", post(model::apply_template))
            .route("/slots", get(model::slots))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&state), authorize));
        guarded
            .route("/health", get(model::health))
            .route("/metrics", get(metrics::show))
            .method_not_allowed_fallback(wrong_method)
            .fallback(unknown_route)
            .layer(middleware::from_fn_with_state(Arc::clone(&state), count))
            .layer(DefaultBodyLimit::max(state.body_limit))
            .with_state(state)
    }
}

async fn unknown_route(method: Method, uri: Uri) -> ApiError {
    ApiError::unknown_route(method.as_str(), uri.path())
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::wrong_method(method.as_str(), uri.path())
}

async fn count(State(state): State<Arc<ServerState>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    state.metrics.answered(route, response.status().as_u16());
    response
}

async fn authorize(State(state): State<Arc<ServerState>>, request: Request, next: Next) -> Response {
    let Some(key) = &state.api_key else {
        return next.run(request).await;
    };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split_once(' '));
    let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let right = given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(key.expose().as_bytes())));
    if right { next.run(request).await } else { ApiError::unauthorized().into_response() }
}

#[cfg(test)]
mod tests;
