//! What a cache has, as those see it who follow it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use axum::body::Body;
use axum::http::Request;
use clowder_core::ModelUrl;
use clowder_core::stock::Stock;
use clowder_core::testing::{PATIENCE, eventually, tiny_gguf};
use clowder_storage::api::{self, server::Listener};
use clowder_storage::sources::{HttpSource, WebConfig};
use futures::StreamExt;
use std::sync::Arc;
use support::{Fault, Server, cache, noise, pull, pull_until};
use tempfile::tempdir;
use tokio::sync::Notify;
use tokio::time::timeout;
use tower::ServiceExt;

fn http() -> HttpSource {
    HttpSource::new(&WebConfig::default()).unwrap()
}

fn has(stock: &Stock, url: &ModelUrl) -> bool {
    stock.complete.contains(url)
}

#[tokio::test]
async fn a_model_is_seen_to_come_and_to_go() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.gguf", tiny_gguf(1));
    let cache = cache(folder.path(), http()).await;
    let mut seen = cache.watch();
    assert_eq!(*seen.next().await.unwrap(), Stock::default());
    pull(&cache, &url).await.unwrap();
    let whole = eventually(&mut seen, "the model", |stock| has(stock, &url)).await;
    assert!(whole.incomplete.is_empty());
    cache.forget(&url).await.unwrap();
    eventually(&mut seen, "its end", |stock| !has(stock, &url)).await;
}

#[tokio::test]
async fn progress_is_seen_and_what_broke_off_stays() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(3 << 20));
    server.fault(Fault::Stall(2 << 20));
    let cache = cache(folder.path(), http()).await;
    let seen = cache.watch();
    let so_far = |stock: &Arc<Stock>| stock.incomplete.get(&url).is_some_and(|progress| progress.bytes >= 2 << 20);
    {
        let fetching = pull_until(&cache, &url, u64::MAX);
        let told = tokio::select! {
            () = fetching => unreachable!("it never has so much"),
            told = eventually(seen, "progress", so_far) => told,
        };
        assert_eq!(told.incomplete[&url].total, Some(3 << 20));
    }
    let after = eventually(cache.watch(), "what is left", |stock| stock.incomplete.contains_key(&url)).await;
    assert_eq!(after.incomplete[&url].rate, 0);
}

#[tokio::test]
async fn who_makes_room_for_another_is_seen_to_go_before_the_other_is_whole() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let (first, second) = (server.file("/first.gguf", tiny_gguf(1)), server.file("/second.bin", noise(200_000)));
    let config = clowder_storage::CacheConfig {
        max_bytes: Some(250_000),
        retries: support::retries(3),
        ..clowder_storage::CacheConfig::new("here".into(), folder.path())
    };
    let cache = clowder_storage::Cache::open(config, http()).await.unwrap();
    pull(&cache, &first).await.unwrap();
    server.fault(Fault::Stall(1000));
    let seen = cache.watch();
    tokio::select! {
        () = pull_until(&cache, &second, u64::MAX) => unreachable!("it never has so much"),
        stock = eventually(seen, "room", |stock| !has(stock, &first)) => assert!(!has(&stock, &second)),
    }
}

#[tokio::test]
async fn the_events_of_the_api_are_whole_stocks_of_one_line() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.gguf", tiny_gguf(1));
    let cache = cache(folder.path(), http()).await;
    pull(&cache, &url).await.unwrap();
    let router = api::router(cache, None);
    let answer = router.oneshot(Request::get("/events").body(Body::empty()).unwrap()).await.unwrap();
    let first = answer.into_body().into_data_stream().next().await.unwrap().unwrap();
    let text = std::str::from_utf8(&first).unwrap();
    let data = text.strip_prefix("event: stock\ndata: ").and_then(|rest| rest.strip_suffix("\n\n")).expect(text);
    assert_eq!(data, format!(r#"{{"complete":["{url}"],"incomplete":{{}}}}"#));
    assert!(has(&serde_json::from_str(data).unwrap(), &url));
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_those_who_listen() {
    let folder = tempdir().unwrap();
    let router = api::router(cache(folder.path(), http()).await, None);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), false).await.unwrap();
    let url = format!("http://{}/events", listener.address());
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    let served = tokio::spawn(listener.serve(router, async move { stopped.notified().await }));
    let mut events = reqwest::get(url).await.unwrap().bytes_stream();
    events.next().await.unwrap().unwrap();
    stop.notify_one();
    timeout(PATIENCE, async { while events.next().await.is_some() {} }).await.unwrap();
    served.await.unwrap().unwrap();
}
