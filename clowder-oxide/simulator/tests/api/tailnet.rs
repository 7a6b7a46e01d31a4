//! Devices of a tailnet.

use clowder_oxide_simulator::{Device, Tailnet};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;

const NAME: &str = "tail66ef.ts.net";
const KEY: &str = "tskey-api-1";

fn device(hostname: &str, address: &str) -> Device {
    let addresses = vec![address.parse().unwrap()];
    Device { hostname: hostname.to_owned(), addresses, tags: vec!["tag:ainekko-k8s-node".to_owned()] }
}

fn ask(tailnet: &Tailnet, name: &str) -> RequestBuilder {
    let url = tailnet.url().join(&format!("/api/v2/tailnet/{name}/devices")).unwrap();
    reqwest::Client::new().get(url)
}

async fn names(request: RequestBuilder) -> Vec<String> {
    let list: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    list["devices"].as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn devices_are_listed_when_they_have_joined() {
    let tailnet = Tailnet::start(NAME, KEY).await.unwrap();
    assert!(names(ask(&tailnet, NAME).bearer_auth(KEY)).await.is_empty());
    tailnet.join(&device("Server-0", "100.64.0.1"));
    tailnet.join(&device("server-0", "100.64.0.2"));
    let both = ["server-0.tail66ef.ts.net", "server-0-1.tail66ef.ts.net"];
    assert_eq!(names(ask(&tailnet, "-").basic_auth(KEY, Some(""))).await, both);
    let list: Value = ask(&tailnet, NAME).bearer_auth(KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(list["devices"][1]["addresses"][0], "100.64.0.2");
    assert_eq!(list["devices"][0]["tags"][0], "tag:ainekko-k8s-node");
    tailnet.leave("Server-0");
    assert_eq!(names(ask(&tailnet, NAME).bearer_auth(KEY)).await, ["server-0-1.tail66ef.ts.net"]);
    assert_eq!(tailnet.calls(), 4);
}

#[tokio::test]
async fn strangers_and_other_tailnets_see_nothing() {
    let tailnet = Tailnet::start(NAME, KEY).await.unwrap();
    for (request, expected) in [
        (ask(&tailnet, NAME), StatusCode::UNAUTHORIZED),
        (ask(&tailnet, NAME).bearer_auth("tskey-auth-1"), StatusCode::UNAUTHORIZED),
        (ask(&tailnet, "other.ts.net").bearer_auth(KEY), StatusCode::NOT_FOUND),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), expected);
        assert!(response.json::<Value>().await.unwrap()["message"].is_string());
    }
}
