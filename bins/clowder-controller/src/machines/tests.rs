use super::*;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response as Answer};
use axum::routing::{get, put};
use axum::{Json, Router};
use clowder_core::testing::infra::{InMemoryInfra, conformance};
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

const TOKEN: &str = "sesame";

fn said(status: StatusCode, message: &str) -> Answer {
    (status, Json(json!({ "error": { "message": message } }))).into_response()
}

fn may(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == "Bearer sesame")
}

async fn list(State(infra): State<Arc<InMemoryInfra>>, headers: HeaderMap) -> Answer {
    match may(&headers) {
        true => Json(infra.observe().await.unwrap()).into_response(),
        false => said(StatusCode::UNAUTHORIZED, "the token is wrong"),
    }
}

async fn scale(State(infra): State<Arc<InMemoryInfra>>, Path(pool): Path<String>, Json(body): Json<Value>) -> Answer {
    let machines = u32::try_from(body["machines"].as_u64().unwrap()).unwrap();
    match infra.scale(&PoolName(pool), machines).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error @ InfraError::UnknownPool { .. }) => said(StatusCode::NOT_FOUND, &error.to_string()),
        Err(error) => said(StatusCode::CONFLICT, &error.to_string()),
    }
}

/// A program that keeps pools in memory, and its address.
async fn server() -> (Url, AbortOnDropHandle<std::io::Result<()>>) {
    let infra = Arc::new(InMemoryInfra::new([("big/workers".into(), 0..=3, 1 << 30)]));
    let routes = Router::new().route("/api/v1/pools", get(list)).route("/api/v1/pools/{name}", put(scale));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let serving = tokio::spawn(axum::serve(listener, routes.with_state(infra)).into_future());
    (address, AbortOnDropHandle::new(serving))
}

#[tokio::test]
async fn the_remote_conforms() {
    let (address, _serving) = server().await;
    let infra = RemoteInfra::new(address, Some(Secret::new(TOKEN))).unwrap();
    conformance(&infra, &"big/workers".into(), || async {}).await;
}

#[tokio::test]
async fn what_is_wrong_is_told_without_the_token() {
    let (address, serving) = server().await;
    let infra = RemoteInfra::new(address, Some(Secret::new("not-sesame"))).unwrap();
    let refused = clowder_core::chain(&infra.observe().await.unwrap_err());
    assert!(refused.ends_with("it answered 401 Unauthorized: the token is wrong"), "{refused}");
    serving.abort();
    drop(serving.await);
    let gone = clowder_core::chain(&infra.observe().await.unwrap_err());
    assert!(gone.starts_with("asking for pools of machines failed"), "{gone}");
    assert!(!gone.contains("sesame"), "{gone}");
}
