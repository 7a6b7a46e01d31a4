//! What is the same for all calls.

use crate::support::{PROJECT, client, names, rack, refused};
use clowder_oxide_simulator::{Operation, Options, Simulator};
use oxide::{ClientProjectsExt, ClientSystemStatusExt, types};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn ask(rack: &Simulator, method: Method, path: &str, body: &Value) -> (StatusCode, Value, String) {
    let url = rack.url().join(path).unwrap();
    let request = reqwest::Client::new().request(method, url).bearer_auth(rack.token()).json(body);
    let response = request.send().await.unwrap();
    let (status, id) = (response.status(), response.headers()["x-request-id"].to_str().unwrap().to_owned());
    (status, response.json().await.unwrap(), id)
}

#[tokio::test]
async fn only_the_right_token_is_let_in() {
    let (rack, _) = rack(Options::default()).await;
    let stranger = client(&rack, "guessed");
    let (status, code, message) = refused(stranger.project_list().send().await);
    assert_eq!((status, code.as_str(), message.as_str()), (401, "Unauthorized", "credentials missing or invalid"));
    stranger.ping().send().await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_not_as_described_is_refused() {
    let (rack, _) = rack(Options::default()).await;
    for (method, path, body) in [
        (Method::POST, "/v1/projects", json!({ "name": "no description" })),
        (Method::POST, "/v1/projects", json!({ "name": "Capital", "description": "" })),
        (Method::POST, "/v1/projects", json!([])),
        (Method::GET, "/v1/instances", Value::Null),
        (Method::GET, "/v1/instances?project=cats&limit=0", Value::Null),
        (Method::GET, "/v1/instances?project=cats&limit=many", Value::Null),
        (Method::GET, "/v1/instances?project=cats&sort_by=size", Value::Null),
        (Method::GET, "/v1/instances/-?project=cats", Value::Null),
        (Method::POST, "/v1/instances", Value::Null),
    ] {
        let (status, error, id) = ask(&rack, method.clone(), path, &body).await;
        assert_eq!(status, 400, "{method} {path} {body}");
        assert_eq!(error["request_id"], id);
        assert!(error.get("error_code").is_none() && error["message"].is_string(), "{error}");
    }
    assert_eq!(ask(&rack, Method::GET, "/v1/nonsense", &Value::Null).await.0, 404);
    assert_eq!(ask(&rack, Method::PATCH, "/v1/projects", &Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_body_without_end_is_not_read() {
    let (rack, _) = rack(Options::default()).await;
    let request = reqwest::Client::new().post(rack.url().join("/v1/projects").unwrap()).bearer_auth(rack.token());
    let response = request.body(vec![b' '; (1 << 20) + 1]).send().await.unwrap();
    assert_eq!(response.status(), 413);
}

#[tokio::test]
async fn the_same_calls_make_the_same_ids() {
    let mut seen = Vec::new();
    for seed in [1, 1, 2] {
        let (_rack, client) = rack(Options { seed, ..Options::default() }).await;
        let body = types::ProjectCreate { defaults: None, description: String::new(), name: "dogs".parse().unwrap() };
        seen.push(client.project_create().body(body).send().await.unwrap().id);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
}

#[tokio::test]
async fn calls_are_remembered() {
    let (rack, client) = rack(Options::default()).await;
    names(&client).await;
    let call = rack.calls().remove(0);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("GET", "/v1/instances"));
    assert_eq!((call.operation, call.operation_id()), (Some(Operation::InstanceList), "instance_list"));
    assert_eq!((call.status, call.mutating), (Some(200), false));
    client.project_view().project(PROJECT).send().await.unwrap();
    assert!(rack.mutating_calls().is_empty());
}
