//! The storage manager's API, as its clients call it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clowder_core::Secret;
use clowder_core::testing::tiny_gguf;
use clowder_storage::sources::{HttpSource, WebConfig};
use clowder_storage::{Cache, CacheConfig, api};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::fs::File;
use support::{Fault, Server, cache, digest, noise, pull, pull_until};
use tempfile::tempdir;
use tower::ServiceExt;

async fn call(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let status = answer.status();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

async fn json(router: &Router, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let (status, text) = call(router, method, path, &[], body).await;
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn path_of(url: &str) -> String {
    format!("/content/{}", URL_SAFE_NO_PAD.encode(url))
}

fn http() -> HttpSource {
    HttpSource::new(&WebConfig::default()).unwrap()
}

#[tokio::test]
async fn a_model_comes_and_goes() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.gguf", tiny_gguf(1)).to_string();
    let cache = cache(folder.path(), http()).await;
    let router = api::router(cache.clone(), None);
    let (status, answer) = json(&router, Method::GET, &path_of(&url), "").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND, &json!("not_cached")));

    let body = json!({"url": url, "credentials": "t", "credentialsType": "bearer"}).to_string();
    for _ in 0..2 {
        let (status, answer) = json(&router, Method::POST, "/content/", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        assert_eq!((&answer["url"], &answer["digest"]), (&json!(url), &json!(digest(&tiny_gguf(1)).to_string())));
    }
    let spelled_otherwise = format!("/content/{}", STANDARD.encode(&url));
    for path in [path_of(&url), spelled_otherwise] {
        let (status, answer) = json(&router, Method::GET, &path, "").await;
        assert_eq!((status, &answer["digest"]), (StatusCode::OK, &json!(digest(&tiny_gguf(1)).to_string())));
    }
    let (_, list) = json(&router, Method::GET, "/content/", "").await;
    assert_eq!((&list["count"], &list["content"][0]["url"]), (&json!(1), &json!(url)));

    let used = pull(&cache, &url.parse().unwrap()).await.unwrap();
    let (status, answer) = json(&router, Method::DELETE, &path_of(&url), "").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::CONFLICT, &json!("in_use")));
    drop(used);
    for _ in 0..2 {
        assert_eq!(json(&router, Method::DELETE, &path_of(&url), "").await.0, StatusCode::NO_CONTENT);
    }
    assert_eq!(json(&router, Method::GET, &path_of(&url), "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_a_caller_holds_is_neither_evicted_nor_deleted() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let urls = [1, 2].map(|seed| server.file(&format!("/{seed}.gguf"), tiny_gguf(seed)).to_string());
    let room_for_one = tiny_gguf(1).len() as u64 * 3 / 2;
    let config = CacheConfig { max_bytes: Some(room_for_one), ..CacheConfig::new("here".into(), folder.path()) };
    let router = api::router(Cache::open(config, http()).await.unwrap(), None);
    let fetch = async |url: &String| json(&router, Method::POST, "/content/", &json!({ "url": url }).to_string()).await;
    let (_, fetched) = fetch(&urls[0]).await;
    let held = File::open(fetched["hold"].as_str().unwrap()).unwrap();
    held.lock_shared().unwrap();

    let (status, answer) = fetch(&urls[1]).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::INSUFFICIENT_STORAGE, &json!("no_space")));
    let (status, answer) = json(&router, Method::DELETE, &path_of(&urls[0]), "").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::CONFLICT, &json!("in_use")));
    drop(held);
    assert_eq!(fetch(&urls[1]).await.0, StatusCode::CREATED);
    assert_eq!(json(&router, Method::GET, &path_of(&urls[0]), "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_under_way_is_206_with_its_progress() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(3 << 20));
    server.fault(Fault::Stall(2 << 20));
    let cache = cache(folder.path(), http()).await;
    pull_until(&cache, &url, 2 << 20).await;
    let router = api::router(cache, None);
    let (status, answer) = json(&router, Method::GET, &path_of(&url.to_string()), "").await;
    assert_eq!((status, &answer["complete"]), (StatusCode::PARTIAL_CONTENT, &json!(false)));
    assert_eq!(answer["progress"]["total"], json!(3 << 20));
    assert!(answer["progress"]["bytes"].as_u64().unwrap() > 0 && answer["digest"].is_null());
}

#[tokio::test]
async fn errors_are_json_with_a_code_and_without_secrets() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    server.needs_token("right");
    let router = api::router(cache(folder.path(), http()).await, None);
    let denied = json!({"url": server.url("/m.gguf").to_string(), "credentials": "hf_secret"}).to_string();
    for (method, path, body, status, code) in [
        (Method::POST, "/content/", "{}", 400, "invalid_body"),
        (Method::POST, "/content/", r#"{"url":"kitten"}"#, 400, "invalid_url"),
        (Method::POST, "/content/", r#"{"url":"s3:bucket/m"}"#, 400, "unsupported_scheme"),
        (Method::POST, "/content/", denied.as_str(), 403, "denied"),
        (Method::GET, "/content/!!!", "", 400, "invalid_url"),
        (Method::GET, "/elsewhere", "", 404, "no_such_call"),
        (Method::PUT, "/content/", "", 405, "method_not_allowed"),
    ] {
        let (got, text) = call(&router, method.clone(), path, &[], body).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {text}"));
        assert_eq!((got.as_u16(), &answer["error"]["code"]), (status, &json!(code)), "{method} {path}: {text}");
        assert!(!text.contains("hf_secret"), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_and_web_pages_are_kept_out() {
    let folder = tempdir().unwrap();
    let cache = cache(folder.path(), http()).await;
    let router = api::router(cache.clone(), Some(Secret::new("right")));
    let get = async |path, headers: &[(&str, &str)]| call(&router, Method::GET, path, headers, "").await.0;
    assert_eq!(get("/health", &[]).await, StatusCode::OK);
    for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic right")]] {
        assert_eq!(get("/content/", headers).await, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert_eq!(get("/metrics", headers).await, StatusCode::UNAUTHORIZED, "{headers:?}");
    }
    assert_eq!(get("/content/", &[("authorization", "bearer right")]).await, StatusCode::OK);

    let open = api::router(cache, None);
    let page = call(&open, Method::POST, "/content/", &[("origin", "https://evil.example")], "{}").await;
    assert_eq!(page.0, StatusCode::FORBIDDEN);
    let (status, metrics) = call(&open, Method::GET, "/metrics", &[], "").await;
    assert!(status == StatusCode::OK && metrics.contains("\nclowder_storage_models 0\n"), "{metrics}");
}
