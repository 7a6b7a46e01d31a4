//! Models that stay, whatever else needs the room.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clowder_core::ModelUrl;
use clowder_core::store::{MOST_PINS, StoreError};
use clowder_core::testing::{InMemorySource, eventually, tiny_gguf};
use clowder_storage::sources::BuiltinSource;
use clowder_storage::{Cache, CacheConfig, api};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use support::pull;
use tempfile::tempdir;
use tower::ServiceExt;

fn url(n: usize) -> ModelUrl {
    format!("memory:{n}").parse().unwrap()
}

/// A cache with room for two models of 1,000 bytes and a half.
async fn cache(folder: &Path) -> Cache {
    let models = (0..5).zip(0_u8..).map(|(n, seed)| (url(n), vec![seed; 1000]));
    let config = CacheConfig { max_bytes: Some(2500), ..CacheConfig::new("here".into(), folder) };
    Cache::open(config, InMemorySource::new(models.collect::<Vec<_>>())).await.unwrap()
}

async fn there(cache: &Cache) -> Vec<ModelUrl> {
    cache.list().await.unwrap().into_iter().map(|entry| entry.url).collect()
}

#[tokio::test]
async fn what_is_pinned_stays_over_a_restart_and_goes_once_it_is_not() {
    let folder = tempdir().unwrap();
    let before = cache(folder.path()).await;
    before.set_pins([url(0), url(4)].into()).await.unwrap();
    pull(&before, &url(0)).await.unwrap();
    let after = cache(folder.path()).await;
    for other in 1..4 {
        pull(&after, &url(other)).await.unwrap();
        assert_eq!(there(&after).await, [url(0), url(other)]);
    }
    assert_eq!(after.pins().await.unwrap(), [url(0), url(4)].into());
    let pinned: Vec<bool> = after.list().await.unwrap().iter().map(|entry| entry.pinned).collect();
    assert_eq!(pinned, [true, false]);
    after.set_pins([url(4)].into()).await.unwrap();
    for other in [1, 4, 2, 3] {
        pull(&before, &url(other)).await.unwrap();
    }
    assert_eq!(there(&after).await, [url(3), url(4)], "the oldest goes, and what was pinned before it came does not");
}

#[tokio::test]
async fn a_cache_full_of_pinned_models_says_so() {
    let folder = tempdir().unwrap();
    let cache = cache(folder.path()).await;
    cache.set_pins([url(0), url(1)].into()).await.unwrap();
    for n in 0..2 {
        pull(&cache, &url(n)).await.unwrap();
    }
    let full = pull(&cache, &url(2)).await.unwrap_err();
    let StoreError::FullOfPinned { needed: 1000, free: 500, pinned, .. } = &full else { panic!("{full:?}") };
    assert_eq!((pinned.bytes, &pinned.urls[..]), (2000, &[url(0), url(1)][..]));
    assert!(full.to_string().contains("2000 bytes of pinned models (memory:0, memory:1)"), "{full}");
    // What a worker uses would stay all the same: its pin is not in the way.
    let _used = [pull(&cache, &url(0)).await.unwrap(), pull(&cache, &url(1)).await.unwrap()];
    let full = pull(&cache, &url(2)).await.unwrap_err();
    assert!(matches!(full, StoreError::NoSpace { free: 500, .. }), "{full:?}");
}

#[tokio::test]
async fn what_a_pinned_model_was_before_goes() {
    let (folder, kitten): (_, ModelUrl) = (tempdir().unwrap(), "builtin:kitten".parse().unwrap());
    let (old, new): (&'static [u8], &'static [u8]) = (tiny_gguf(1).leak(), tiny_gguf(2).leak());
    let before = support::cache(folder.path(), BuiltinSource::new([("kitten", old)])).await;
    before.set_pins([kitten.clone()].into()).await.unwrap();
    let used = pull(&before, &kitten).await.unwrap();
    let after = support::cache(folder.path(), BuiltinSource::new([("kitten", new)])).await;
    pull(&after, &kitten).await.unwrap();
    assert_eq!(after.usage().await.unwrap().models, (old.len() + new.len()) as u64);
    drop(used);
    pull(&after, &kitten).await.unwrap();
    Cache::open(CacheConfig::new("here".into(), folder.path()), InMemorySource::new([])).await.unwrap();
    assert_eq!(after.usage().await.unwrap().models, new.len() as u64);
}

#[tokio::test]
async fn a_damaged_list_pins_nothing_and_is_told() {
    let folder = tempdir().unwrap();
    let cache = cache(folder.path()).await;
    let seen = cache.watch();
    cache.set_pins([url(0)].into()).await.unwrap();
    eventually(seen, "the pins", |stock| stock.pinned == BTreeSet::from([url(0)])).await;
    std::fs::write(folder.path().join("pins.json"), "{").unwrap();
    eventually(cache.watch(), "their loss", |stock| stock.pinned.is_empty()).await;
    cache.set_pins([url(1)].into()).await.unwrap();
    assert_eq!(cache.pins().await.unwrap(), [url(1)].into());
}

async fn call(router: &Router, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

#[tokio::test]
async fn the_api_gives_and_takes_all_pins_at_once() {
    let folder = tempdir().unwrap();
    let cache = cache(folder.path()).await;
    let router = api::router(cache.clone(), None);
    assert_eq!(call(&router, Method::GET, "/pins", "").await, (StatusCode::OK, json!({ "pinned": [] })));
    let two = json!({ "pinned": ["memory:1", "memory:0"] }).to_string();
    for _ in 0..2 {
        assert_eq!(call(&router, Method::PUT, "/pins", &two).await, (StatusCode::NO_CONTENT, Value::Null));
    }
    let (_, pins) = call(&router, Method::GET, "/pins", "").await;
    assert_eq!(pins, json!({ "pinned": ["memory:0", "memory:1"] }));

    pull(&cache, &url(0)).await.unwrap();
    let path = format!("/content/{}", URL_SAFE_NO_PAD.encode("memory:0"));
    let (status, answer) = call(&router, Method::DELETE, &path, "").await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::CONFLICT, &json!("pinned")));
    let (_, list) = call(&router, Method::GET, "/content/", "").await;
    assert_eq!(list["content"][0]["pinned"], json!(true));
    pull(&cache, &url(1)).await.unwrap();
    let (status, answer) = call(&router, Method::POST, "/content/", r#"{"url": "memory:2"}"#).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::INSUFFICIENT_STORAGE, &json!("no_space")));
    let none = json!({ "pinned": [] }).to_string();
    assert_eq!(call(&router, Method::PUT, "/pins", &none).await.0, StatusCode::NO_CONTENT);
    assert_eq!(call(&router, Method::DELETE, &path, "").await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn pins_that_are_none_change_nothing() {
    let folder = tempdir().unwrap();
    let cache = cache(folder.path()).await;
    cache.set_pins([url(0)].into()).await.unwrap();
    let router = api::router(cache.clone(), None);
    let many: Vec<String> = (0..=MOST_PINS).map(|n| format!("http://h/{n}{}", "x".repeat(2000))).collect();
    let (most, longer) = (json!({ "pinned": many[1..] }), json!({ "pinned": many }));
    for (body, status, code) in [
        ("", StatusCode::BAD_REQUEST, "invalid_body"),
        (r#"["memory:1"]"#, StatusCode::BAD_REQUEST, "invalid_body"),
        (r#"{"pinned": ["no url"]}"#, StatusCode::BAD_REQUEST, "invalid_body"),
        (r#"{"pinned": [], "more": 1}"#, StatusCode::BAD_REQUEST, "invalid_body"),
        (&longer.to_string(), StatusCode::BAD_REQUEST, "too_many_pins"),
    ] {
        let (told, answer) = call(&router, Method::PUT, "/pins", body).await;
        assert_eq!((told, &answer["error"]["code"]), (status, &json!(code)), "{answer}");
    }
    let far_too_long = " ".repeat(4 << 20);
    assert_eq!(call(&router, Method::PUT, "/pins", &far_too_long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(call(&router, Method::DELETE, "/pins", "").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(cache.pins().await.unwrap(), [url(0)].into());
    assert_eq!(call(&router, Method::PUT, "/pins", &most.to_string()).await.0, StatusCode::NO_CONTENT);
}
