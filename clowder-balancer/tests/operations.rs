//! The operational API, the original balancer's calls, and the edges of `/v1`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use clowder_core::status::ModelPhase;
use clowder_core::{Secret, WorkerState};
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use support::{ADMIN, FakeWorker, House, chat_answer};

async fn read(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn message(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap()
}

/// The body as curl sends it: `--data` says form data.
fn curl(house: &House, body: &Value) -> reqwest::RequestBuilder {
    let request = house.operate(Method::POST, "/workers").body(body.to_string());
    request.header("content-type", "application/x-www-form-urlencoded")
}

#[tokio::test]
async fn the_originals_calls() {
    let house = House::new().await;
    let url = "hf:///unsloth//SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct-Q4_K_M.gguf";
    let seed = json!({"modelUrl": url, "modelAlias": "smol", "nodeName": "a", "credentials": "HF_TOKEN"});
    let (status, made) = read(curl(&house, &seed)).await;
    assert_eq!(
        (status, &made["status"], &made["message"]),
        (200, &"success".into(), &"smol shall have 1 worker".into())
    );
    let (_, again) = read(curl(&house, &json!({"modelUrl": url, "modelAlias": "smol"}))).await;
    assert_eq!((&again["message"], &again["generation"]), (&"smol shall have 2 workers".into(), &2.into()));
    let (_, view) = read(house.operate(Method::GET, "/models/smol")).await;
    assert_eq!((&view["replicas"], &view["placement"]["pinned"]), (&2.into(), &json!(["a"])));
    assert!(!view.to_string().contains("HF_TOKEN"));

    let (status, other) = read(curl(&house, &json!({"modelUrl": "builtin:kitten", "modelAlias": "smol"}))).await;
    assert_eq!((status, &other["error"]["code"]), (409, &"model_exists".into()));
    let (status, lost) = read(curl(&house, &json!({"modelUrl": url, "nodeName": "c"}))).await;
    assert_eq!((status, message(&lost)), (400, "`nodeName`: there is no node \"c\"; there are a, b."));
    let (status, unnamed) = read(curl(&house, &json!({"modelUrl": url}))).await;
    assert_eq!((status, &unnamed["model"]), (200, &"SmolLM2-135M-Instruct-Q4_K_M".into()));

    house.worker("smol-0-0", "smol", "http://127.0.0.1:9");
    house.worker_with("smol-0-1", "smol", "http://127.0.0.1:9", |worker| worker.state = WorkerState::Starting);
    house.until(|models| models.iter().any(|view| view["workers"].as_array().unwrap().len() == 2)).await;
    let (_, list) = read(house.operate(Method::GET, "/workers/list")).await;
    assert_eq!((&list["status"], &list["count"]), (&"success".into(), &2.into()));
    let expected =
        json!({"name": "smol-0-0", "model_name": "smol", "model_alias": "smol", "node": "a", "state": "ready"});
    assert_eq!(list["workers"][0], expected);
    let (_, synced) = read(house.operate(Method::POST, "/workers/sync")).await;
    assert_eq!(synced, json!({"status": "success", "message": "Workers synchronized", "count": 2}));

    let (_, deleted) = read(house.operate(Method::DELETE, "/workers?name=smol-0-0")).await;
    let expected = json!({"status": "success", "message": "Worker smol-0-0 deleted", "found_in_router": true});
    assert_eq!(deleted, expected);
    let (_, view) = read(house.operate(Method::GET, "/models/smol")).await;
    assert_eq!(view["replicas"], 1);
    let (_, last) = read(house.operate(Method::DELETE, "/workers?name=smol-0-1")).await;
    assert_eq!(last["found_in_router"], false);
    assert_eq!(read(house.operate(Method::GET, "/models/smol")).await.0, 404, "the last worker takes its model along");
    assert_eq!(read(house.operate(Method::DELETE, "/workers?name=smol-0-7")).await.0, 404);
    assert_eq!(read(house.operate(Method::DELETE, "/workers")).await.0, 400);
}

#[tokio::test]
async fn models_are_made_changed_and_removed() {
    let house = House::new().await;
    let body = json!({"name": "org/kitten", "source": "builtin:kitten", "engine": {"slots": 2}, "credentials": "s3"});
    let make = || house.operate(Method::POST, "/models").json(&body);
    let (status, made) = read(make()).await;
    assert_eq!(status, 201);
    insta::assert_json_snapshot!(made);
    assert_eq!(read(make()).await.0, 200, "the same again");
    let (status, taken) =
        read(house.operate(Method::POST, "/models").json(&json!({"name": "org/kitten", "source": "file:///x"}))).await;
    assert_eq!(status, 409, "{taken}");

    let (status, changed) = read(
        house.operate(Method::PATCH, "/models/org%2Fkitten").json(&json!({"replicas": 3, "engine": {"context": 512}})),
    )
    .await;
    assert_eq!((status, &changed["replicas"], &changed["generation"]), (200, &3.into(), &2.into()));
    assert_eq!((&changed["engine"]["slots"], &changed["engine"]["context"]), (&2.into(), &512.into()));
    house.fares("org/kitten", ModelPhase::Starting, None).await;
    let (_, list) = read(house.operate(Method::GET, "/models")).await;
    assert_eq!((&list["data"][0]["phase"], &list["data"][0]["reason"]), (&"starting".into(), &Value::Null));

    let (status, refused) =
        read(house.operate(Method::PATCH, "/models/org%2Fkitten").json(&json!({"replica": 3}))).await;
    assert_eq!(status, 400);
    assert!(message(&refused).contains("unknown field `replica`, expected one of"), "{refused}");

    let (status, removed) = read(house.operate(Method::DELETE, "/models/org%2Fkitten")).await;
    assert_eq!((status, removed), (200, json!({"name": "org/kitten", "deleted": true})));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(read(house.operate(method, "/models/org%2Fkitten")).await.0, 404);
    }
    assert_eq!(read(house.operate(Method::PATCH, "/models/none").json(&json!({"replicas": 0}))).await.0, 404);
}

#[tokio::test]
async fn a_name_has_one_model() {
    let house = House::new().await;
    let make = |name: &str, aliases: &[&str]| {
        let body = json!({"name": name, "source": "builtin:kitten", "aliases": aliases});
        house.operate(Method::POST, "/models").json(&body)
    };
    let (status, made) = read(make("kitten", &["gpt", "cat"])).await;
    assert_eq!((status, &made["aliases"]), (201, &json!(["cat", "gpt"])));
    assert_eq!(read(house.operate(Method::GET, "/models/cat")).await.1["name"], "kitten");
    assert_eq!(read(house.operate(Method::DELETE, "/models/cat")).await.0, 404, "removed by its own name alone");
    for (name, aliases, taken) in
        [("gpt", &[][..], "gpt"), ("dog", &["kitten"][..], "kitten"), ("dog", &["new", "cat"][..], "cat")]
    {
        let (status, refused) = read(make(name, aliases)).await;
        assert_eq!((status, &refused["error"]["code"]), (409, &"model_exists".into()), "{refused}");
        assert_eq!(message(&refused), format!("the name \"{taken}\" is taken by the model kitten: take another."));
    }
    let seed = json!({"modelUrl": "builtin:kitten", "modelAlias": "cat"});
    assert_eq!(read(curl(&house, &seed)).await.0, 409, "the original's call is no way around");
    assert_eq!(read(make("dog", &["hound"])).await.0, 201);
    let (status, refused) = read(house.operate(Method::PATCH, "/models/dog").json(&json!({"aliases": ["gpt"]}))).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(read(house.operate(Method::DELETE, "/models/kitten")).await.0, 200);
    let (status, freed) = read(house.operate(Method::PATCH, "/models/dog").json(&json!({"aliases": ["gpt"]}))).await;
    assert_eq!((status, &freed["aliases"]), (200, &json!(["gpt"])));
}

#[tokio::test]
async fn a_status_of_an_older_record_is_not_shown_as_this_ones() {
    let house = House::new().await;
    house.serving("kitten", &FakeWorker::answering(chat_answer("x")).await).await;
    house.fares("kitten", ModelPhase::Ready, None).await;
    let (_, scaled) = read(house.operate(Method::PATCH, "/models/kitten").json(&json!({"replicas": 2}))).await;
    assert_eq!((&scaled["phase"], &scaled["generation"]), (&"degraded".into(), &2.into()));
}

#[tokio::test]
async fn a_worker_of_a_model_under_autoscaling_goes_alone() {
    let house = House::new().await;
    house.serving("kitten", &FakeWorker::answering(chat_answer("x")).await).await;
    let bounds = json!({"autoscaling": {"min": 0, "max": 3}});
    let (_, scaled) = read(house.operate(Method::PATCH, "/models/kitten").json(&bounds)).await;
    assert_eq!((&scaled["replicas"], &scaled["autoscaling"]["max"]), (&0.into(), &3.into()), "none is planned yet");
    let seed = json!({"modelUrl": "builtin:kitten", "modelAlias": "kitten"});
    let (_, more) = read(curl(&house, &seed)).await;
    assert_eq!(more["message"], "kitten shall have at least 2 workers");
    assert_eq!(read(house.operate(Method::DELETE, "/workers?name=kitten-0-0")).await.0, 200);
    let (status, left) = read(house.operate(Method::GET, "/models/kitten")).await;
    assert_eq!((status, &left["autoscaling"]["min"], &left["autoscaling"]["max"]), (200, &2.into(), &3.into()));
}

#[tokio::test]
async fn what_is_there() {
    let house = House::new().await;
    house.deploy("kitten").await;
    house.worker("kitten-0-0", "kitten", "http://127.0.0.1:9");
    house.until(|models| models[0]["ready"] == 1).await;
    let (_, workers) = read(house.operate(Method::GET, "/workers")).await;
    let worker = &workers["data"][0];
    assert_eq!((&worker["id"], &worker["state"]["phase"]), (&"kitten-0-0".into(), &"ready".into()));
    assert_eq!((&worker["in_flight"], &worker["node"]), (&0.into(), &"a".into()));
    let (_, nodes) = read(house.operate(Method::GET, "/nodes")).await;
    insta::assert_json_snapshot!(nodes);
    let status = house.status().await;
    let fields: Vec<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "version",
            "uptime_seconds",
            "policy",
            "nodes",
            "models",
            "workers_ready",
            "workers",
            "in_flight",
            "queued",
            "requests_total",
            "errors_total"
        ]
    );
    assert_eq!((&status["workers_ready"], &status["policy"]), (&1.into(), &"prefix".into()));
    let (_, models) = read(house.get("/v1/models")).await;
    let mut model = models["data"][0].clone();
    assert!(model["created"].take().as_u64().unwrap() > 0);
    let expected = json!({
        "id": "kitten", "object": "model", "created": null, "owned_by": "user", "permissions": [],
        "ready": true, "phase": "pending"
    });
    assert_eq!((&models["object"], model), (&"list".into(), expected));
    assert_eq!(read(house.get("/v1/models/kitten")).await.1["id"], "kitten");
    assert_eq!(read(house.get("/v1/models/dog")).await.0, 404);
}

#[tokio::test]
async fn logs_stream() {
    let house = House::new().await;
    house.worker("kitten-0-0", "kitten", "http://127.0.0.1:9");
    let response = house.operate(Method::GET, "/workers/kitten-0-0/logs?tail=5&follow=true").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.bytes_stream().next().await.unwrap().unwrap(), "kitten-0-0 started\n");
    assert_eq!(read(house.operate(Method::GET, "/workers/nobody/logs")).await.0, 404);
    let (status, refused) = read(house.operate(Method::GET, "/workers/kitten-0-0/logs?tail=x")).await;
    assert_eq!(status, 400, "{refused}");
}

#[tokio::test]
async fn every_door_has_its_key() {
    let house = House::with(|config| config.auth.api_keys = vec![Secret::new("key")]).await;
    for (token, v1, operations) in
        [(None, 401, 401), (Some("key"), 200, 401), (Some(ADMIN), 200, 200), (Some("x"), 401, 401)]
    {
        for (path, expected) in
            [("/v1/models", v1), ("/api/v1/models", operations), ("/api/v1/workers/list", operations)]
        {
            let request = house.get(path);
            let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
            assert_eq!(request.send().await.unwrap().status(), expected, "{path} with {token:?}");
        }
    }
    for open in ["/", "/health/live", "/health/ready", "/metrics"] {
        assert_eq!(house.get(open).send().await.unwrap().status(), 200, "{open}");
    }
}

#[tokio::test]
async fn an_open_gateway_answers_no_web_page_of_another_host() {
    let house = House::with(|config| config.auth.allowed_hosts = vec!["lan.example".into()]).await;
    let (status, refused) = read(house.get("/v1/models").header("host", "evil.example")).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &"host_not_allowed".into()));
    let (status, refused) = read(house.get("/v1/models").header("origin", "https://evil.example")).await;
    assert_eq!((status, &refused["error"]["code"]), (403, &"origin_not_allowed".into()));
    assert_eq!(read(house.get("/v1/models").header("host", "lan.example:3090")).await.0, 200);
}

#[tokio::test]
async fn refusals_at_the_edge() {
    let house = House::with(|config| config.limits.body_bytes = 200).await;
    house.deploy("kitten").await;
    let mut told = Vec::new();
    for (path, body) in [
        ("/v1/chat/completions", r#"{"model":"dog","messages":[{}]}"#.to_owned()),
        ("/v1/chat/completions", r#"{"messages":[{}]}"#.to_owned()),
        ("/v1/completions", "model=kitten".to_owned()),
        ("/v1/chat/completions", " ".repeat(201)),
        ("/v1/embeddings", "{}".to_owned()),
        ("/v1/models", "{}".to_owned()),
        ("/api/v1/models", "{}".to_owned()),
    ] {
        let response = house.post(path, body).send().await.unwrap();
        assert!(response.headers()["x-request-id"].to_str().unwrap().starts_with("req-"));
        told.push(format!("{path} {} {}", response.status().as_u16(), response.text().await.unwrap()));
    }
    insta::assert_snapshot!(told.join("\n"));
}
