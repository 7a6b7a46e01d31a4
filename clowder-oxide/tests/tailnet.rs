//! Tailscale's API, asked where the first machine is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use clowder_core::Secret;
use clowder_oxide::{MachineName, Tailnet, TailnetError};
use serde_json::{Value, json};
use std::net::IpAddr;

const KEY: &str = "tskey-api-right";

/// An API that has these devices in `tail66ef.ts.net`, and its address.
async fn api(devices: Value) -> String {
    let answer = move |Path(tailnet): Path<String>, headers: HeaderMap| async move {
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
        match (tailnet.as_str(), authorization) {
            ("broken.ts.net", _) => (StatusCode::OK, "<html>".to_owned()),
            ("busy.ts.net", _) => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            (_, Some("Bearer tskey-api-right")) if tailnet == "tail66ef.ts.net" => {
                (StatusCode::OK, devices.to_string())
            }
            (_, Some("Bearer tskey-api-right")) => (StatusCode::NOT_FOUND, r#"{"message":"Not found"}"#.to_owned()),
            _ => (StatusCode::UNAUTHORIZED, r#"{"message":"API token invalid"}"#.to_owned()),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/api/v2/tailnet/{tailnet}/devices", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn asked(api: &str, tailnet: &str, key: &str) -> Result<Option<IpAddr>, TailnetError> {
    let machine = MachineName::new("clowder-control-plane-".parse().unwrap(), 0).unwrap();
    let tailnet = Tailnet::new(api, tailnet, Secret::new(key)).unwrap();
    tailnet.address(&machine, &"ainekko-k8s-node".parse().unwrap()).await
}

fn device(hostname: &str, addresses: &[&str], tag: &str, created: &str, authorized: bool) -> Value {
    json!({
        "id": "92960230385", "name": format!("{hostname}.tail66ef.ts.net"), "os": "linux",
        "hostname": hostname, "addresses": addresses, "tags": [tag], "created": created, "authorized": authorized,
    })
}

#[tokio::test]
async fn the_machine_that_joined_last_is_meant() {
    let (name, tag) = ("clowder-control-plane-0", "tag:ainekko-k8s-node");
    let api = api(json!({"devices": [
        device(name, &["100.64.0.1"], tag, "2026-01-01T00:00:00Z", true),
        device(name, &["fd7a:115c:a1e0::2", "100.64.0.2"], tag, "2026-02-01T00:00:00Z", true),
        device(name, &["100.64.0.3"], tag, "2026-03-01T00:00:00Z", false),
        device(name, &["100.64.0.4"], "tag:other", "2026-03-01T00:00:00Z", true),
        device("clowder-control-plane-1", &["100.64.0.5"], tag, "2026-03-01T00:00:00Z", true),
        // A device that shares nothing of itself, as one of another tailnet's.
        json!({"id": "1"}),
    ]}))
    .await;
    let address = asked(&api, "tail66ef.ts.net", KEY).await.unwrap();
    assert_eq!(address, Some("100.64.0.2".parse().unwrap()));
}

#[tokio::test]
async fn who_has_not_joined_has_no_address() {
    let (name, tag) = ("clowder-control-plane-0", "tag:ainekko-k8s-node");
    let nobody = api(json!({"devices": []})).await;
    assert_eq!(asked(&nobody, "tail66ef.ts.net", KEY).await.unwrap(), None);
    let elsewhere = api(json!({"devices": [device(name, &["10.0.0.1", "x"], tag, "", true)]})).await;
    assert_eq!(asked(&elsewhere, "tail66ef.ts.net", KEY).await.unwrap(), None);
}

#[tokio::test]
async fn refusals_are_one_line_without_the_key() {
    let api = api(json!({"devices": []})).await;
    let mut said = Vec::new();
    for (api, tailnet, key, transient) in [
        (api.as_str(), "tail66ef.ts.net", "tskey-api-wrong", false),
        (api.as_str(), "other.ts.net", KEY, false),
        (api.as_str(), "broken.ts.net", KEY, false),
        (api.as_str(), "busy.ts.net", KEY, true),
        // Nothing listens there.
        ("http://127.0.0.1:1", "tail66ef.ts.net", KEY, true),
    ] {
        let refusal = asked(api, tailnet, key).await.unwrap_err();
        assert_eq!(refusal.is_transient(), transient, "{refusal}");
        assert!(!format!("{refusal:?}").contains("tskey"), "{refusal:?}");
        said.push(refusal.to_string());
    }
    insta::assert_snapshot!(said.join("\n"));
}
