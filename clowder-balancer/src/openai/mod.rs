//! The OpenAI edge: `/v1`, and llama.cpp's text endpoints by `model`.

mod models;

use crate::admission::Place;
use crate::body::read_body;
use crate::error::ApiError;
use crate::gateway::Shared;
use crate::metrics::{Outcome, Record};
use crate::proxy::progress;
use crate::request::{Operation, ValidRequest};
use crate::routing::unknown;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;

pub(crate) fn router(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/chat/completions", forwarding(Operation::ChatCompletion))
        .route("/v1/chat_completions", forwarding(Operation::ChatCompletion))
        .route("/v1/completions", forwarding(Operation::Completion))
        .route("/tokenize", forwarding(Operation::Tokenize))
        .route("/detokenize", forwarding(Operation::Detokenize))
        .route("/apply-template", forwarding(Operation::ApplyTemplate))
        .route_layer(from_fn_with_state(shared.clone(), authorize))
}

async fn authorize(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Result<Response, ApiError> {
    shared.keys.authorize_api(request.headers())?;
    Ok(next.run(request).await)
}

fn forwarding(operation: Operation) -> MethodRouter<Arc<Shared>> {
    post(move |State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body| async move {
        let mut record = Record::new(shared.metrics.clone());
        match admit(&shared, operation, &headers, body, &mut record).await {
            Ok((request, place)) if progress::is_wanted(&headers, &request) => {
                let (pause, router) = (shared.config.timeouts.progress, shared.clone());
                let model = request.model.clone();
                let waits_for = move || router.proxy.router.waits_for(&model);
                let answer = async move { shared.proxy.forward(&request, &headers, place, record).await };
                Box::pin(progress::told(answer, waits_for, pause)).await
            }
            Ok((request, place)) => Box::pin(shared.proxy.forward(&request, &headers, place, record)).await,
            Err(error) => {
                record.outcome(Outcome::Answered(error.status.as_u16()));
                error.into_response()
            }
        }
    })
}

/// The place is taken before the body is read, so that the bodies in memory are bounded too.
async fn admit(
    shared: &Shared,
    operation: Operation,
    headers: &HeaderMap,
    body: Body,
    record: &mut Record,
) -> Result<(ValidRequest, Place), ApiError> {
    let place = shared.admission.enter()?;
    let body = read_body(headers, body, shared.config.limits.body_bytes, shared.config.timeouts.body_read).await?;
    shared.directory.primed(shared.config.timeouts.worker_wait).await;
    let snapshot = shared.directory.load();
    let request = ValidRequest::parse(operation, body, &snapshot)?;
    if !snapshot.routes.contains_key(&request.model) {
        return Err(unknown(&request.model, &snapshot));
    }
    let demand = request.model.parse().ok().map(|model| shared.parts.demand.enter(model));
    record.of_model(&request.model, demand);
    Ok((request, place))
}
