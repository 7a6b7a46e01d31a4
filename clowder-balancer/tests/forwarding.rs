//! The way of a request to a worker and back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use clowder_balancer::PolicyKind;
use clowder_core::Secret;
use futures::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use support::{FakeWorker, House, Step, chat_answer, json, sse};
use tokio::sync::Notify;

#[tokio::test]
async fn an_answer_passes_and_no_credential_does() {
    let mut steps = chat_answer("hello");
    steps[0] =
        Step::Head(200, "application/json", "access-control-allow-origin: *\r\nset-cookie: a=b\r\nx-timing: 7\r\n");
    let worker = FakeWorker::answering(steps).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    let body = r#"{ "model": "kitten", "messages": [{"role":"user","content":"hi"}], "min_p": 0.1 }"#;
    let request = house.post("/v1/chat_completions", body).bearer_auth("client-secret").header("cookie", "session=1");
    let response = request.header("x-request-id", "mine").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert_eq!(headers["x-request-id"], "mine");
    assert_eq!(headers["x-clowder-worker"], "kitten-0-0");
    assert!(headers["x-clowder-policy"].to_str().unwrap().starts_with("prefix 0/"));
    assert_eq!(headers["x-timing"], "7");
    assert!(!headers.contains_key("access-control-allow-origin") && !headers.contains_key("set-cookie"));
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "hello");

    let seen = &worker.seen()[0];
    assert!(seen.head.starts_with("post /v1/chat/completions http/1.1"), "{}", seen.head);
    assert!(seen.head.contains("x-request-id: mine") && seen.head.contains("content-type: application/json"));
    assert!(!seen.head.contains("secret") && !seen.head.contains("session"), "{}", seen.head);
    assert_eq!(seen.body, body, "the body passes as it came");
}

#[tokio::test]
async fn a_model_answers_to_all_its_names() {
    let worker = FakeWorker::answering(chat_answer("hello")).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    let named = house.operate(reqwest::Method::PATCH, "/models/kitten").body(r#"{"aliases":["Org/Cat","gpt"]}"#);
    assert_eq!(named.send().await.unwrap().status(), 200);
    for name in ["kitten", "gpt", "Org/Cat"] {
        let response = house.chat(name, false).send().await.unwrap();
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(response.headers()["x-clowder-worker"], "kitten-0-0");
        let seen = worker.seen().pop().unwrap();
        assert!(seen.head.contains("x-clowder-model: kitten"), "the worker is told that it is meant: {}", seen.head);
        assert!(seen.body.contains(&format!(r#""model":"{name}""#)), "the body passes as it came: {}", seen.body);
    }
    let metrics = house.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"requests_total{model="kitten",outcome="200",group="own"} 3"#), "{metrics}");
    assert!(metrics.contains("clowder_gateway_workers_ready 1"), "{metrics}");
    let models: Value = house.get("/v1/models").send().await.unwrap().json().await.unwrap();
    let listed: Vec<_> =
        models["data"].as_array().unwrap().iter().map(|model| (&model["id"], &model["ready"])).collect();
    let ids = ["Org/Cat", "gpt", "kitten"].map(Value::from);
    assert_eq!(listed, ids.iter().map(|id| (id, &Value::Bool(true))).collect::<Vec<_>>());
    let one: Value = house.get("/v1/models/Org/Cat").send().await.unwrap().json().await.unwrap();
    assert_eq!(one["id"], "Org/Cat");
    let less = house.operate(reqwest::Method::PATCH, "/models/kitten").body(r#"{"aliases":["gpt"]}"#);
    assert_eq!(less.send().await.unwrap().status(), 200);
    assert_eq!(house.chat("Org/Cat", false).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn workers_are_shown_their_key() {
    let worker = FakeWorker::answering(chat_answer("hello")).await;
    let house = House::with(|config| config.auth.worker_key = Some(Secret::new("inner"))).await;
    house.serving("kitten", &worker).await;
    let body = r#"{"model":"kitten","messages":[{"role":"user","content":"hi"}]}"#;
    let response = house.post("/v1/chat/completions", body).bearer_auth("outer").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let head = &worker.seen()[0].head;
    assert!(head.contains("authorization: bearer inner") && !head.contains("outer"), "{head}");
}

#[tokio::test]
async fn each_path_goes_to_its_own() {
    let worker = FakeWorker::answering(json(200, "{}")).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    for path in ["/v1/completions", "/tokenize", "/detokenize", "/apply-template"] {
        let body = r#"{"model":"kitten","prompt":"x","messages":[{}]}"#;
        assert_eq!(house.post(path, body).send().await.unwrap().status(), 200);
        let seen = worker.seen().pop().unwrap();
        assert!(seen.head.starts_with(&format!("post {path} ")), "{}", seen.head);
    }
}

#[tokio::test]
async fn events_pass_as_they_come() {
    let gate = Arc::new(Notify::new());
    let mut steps = sse(&["1"]);
    steps.extend([Step::Gate(gate.clone()), Step::Chunk("data: 2\n\n".into())]);
    let worker = FakeWorker::answering(steps).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    let mut events = house.chat("kitten", true).send().await.unwrap().bytes_stream();
    assert_eq!(events.next().await.unwrap().unwrap(), "data: 1\n\n");
    gate.notify_one();
    assert_eq!(events.next().await.unwrap().unwrap(), "data: 2\n\n");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_worker_that_refuses_or_breaks_off_costs_the_client_nothing() {
    let silent_end = FakeWorker::answering(vec![Step::Reset]).await;
    let head_only = FakeWorker::answering(vec![Step::Head(200, "text/event-stream", ""), Step::Reset]).await;
    let half = FakeWorker::answering([json(200, r#"{"choices""#), vec![Step::Reset]].concat()).await;
    let draining = FakeWorker::answering(json(503, r#"{"error":{"message":"stopping"}}"#)).await;
    let refusing = FakeWorker::refusing().await;
    for broken in [silent_end.url(), head_only.url(), half.url(), draining.url(), refusing] {
        let good = FakeWorker::answering(chat_answer("fine")).await;
        let house = House::with(|config| config.policy = PolicyKind::RoundRobin).await;
        house.deploy("kitten").await;
        house.worker("kitten-0-0", "kitten", &broken);
        house.worker("kitten-0-1", "kitten", &good.url());
        house.until(|models| models[0]["ready"] == 2).await;
        for _ in 0..4 {
            let response = house.chat("kitten", false).send().await.unwrap();
            assert_eq!(response.status(), 200, "{broken}");
            assert_eq!(response.headers()["x-clowder-worker"], "kitten-0-1");
        }
        let metrics = house.get("/metrics").send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("clowder_gateway_retries_total{cause="), "{metrics}");
    }
}

#[tokio::test]
async fn a_workers_own_429_passes() {
    let body = r#"{"error":{"message":"busy"}}"#;
    let steps = vec![Step::Head(429, "application/json", "retry-after: 7\r\n"), Step::Chunk(body.into())];
    let worker = FakeWorker::answering(steps).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    let response = house.chat("kitten", false).send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    assert_eq!(response.text().await.unwrap(), body);
    assert_eq!(worker.seen().len(), 1, "when to come again is the client's affair");
}

#[tokio::test]
async fn a_request_waits_for_its_killed_worker_to_come_back() {
    let dying = FakeWorker::answering(vec![Step::Reset]).await;
    let reborn = FakeWorker::answering(chat_answer("back")).await;
    let house = House::with(|config| config.timeouts.backoff = Duration::from_secs(3600)).await;
    house.serving("kitten", &dying).await;
    let answer = tokio::spawn(house.chat("kitten", false).send());
    dying.requests(1).await;
    house.worker_with("kitten-0-0", "kitten", &reborn.url(), |worker| worker.restarts = 1);
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_that_breaks_every_worker_fails_after_its_attempts() {
    let worker = FakeWorker::answering(vec![Step::Reset]).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    let response = house.chat("kitten", false).send().await.unwrap();
    assert_eq!(response.status(), 502);
    let error: Value = response.json().await.unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("3 attempts to have this answered broke off"), "{message}");
    assert!(!message.contains("127.0.0.1"), "no inside address: {message}");
    assert_eq!(worker.seen().len(), 3);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_event_that_says_so() {
    let mut steps = sse(&["1"]);
    steps.extend([Step::Chunk("data: {\"half".into()), Step::Reset]);
    let worker = FakeWorker::answering(steps).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    let text = house.chat("kitten", true).send().await.unwrap().text().await.expect("an orderly end");
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!(events[0], "data: 1");
    let error: Value = serde_json::from_str(events[1].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "worker_failed");
    assert_eq!(events.len(), 2, "half an event does not pass: {text}");
    assert_eq!(house.status().await["errors_total"], 1);
}

#[tokio::test]
async fn a_client_that_leaves_frees_all_it_held_and_ends_the_generation() {
    let gate = Arc::new(Notify::new());
    let streaming = FakeWorker::answering([sse(&["1"]), vec![Step::Gate(gate.clone())]].concat()).await;
    let thinking = FakeWorker::answering(vec![Step::Gate(gate)]).await;
    let house = House::new().await;
    house.serving("streaming", &streaming).await;
    house.serving("thinking", &thinking).await;

    let mut events = house.chat("streaming", true).send().await.unwrap().bytes_stream();
    events.next().await.unwrap().unwrap();
    assert_eq!(house.status().await["in_flight"], 1);
    drop(events);
    streaming.left(1).await;
    let answer = tokio::spawn(house.chat("thinking", false).send());
    thinking.requests(1).await;
    answer.abort();
    thinking.left(1).await;
    let status = house.status().await;
    assert_eq!((&status["in_flight"], &status["queued"]), (&0.into(), &0.into()));
    let models = house.until(|_| true).await;
    assert!(models.iter().all(|model| model["workers"][0]["in_flight"] == 0), "{models:?}");
    let metrics = house.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"requests_total{model="streaming",outcome="disconnected",group="own"} 1"#), "{metrics}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let event = format!("data: {}\n\n", "x".repeat(64 << 10));
    let worker = FakeWorker::answering([sse(&["1"]), vec![Step::Flood(event)]].concat()).await;
    let house = House::with(|config| config.timeouts.client_stall = Duration::from_millis(50)).await;
    house.serving("kitten", &worker).await;
    let unread = house.chat("kitten", true).send().await.unwrap();
    worker.left(1).await;
    assert_eq!(house.status().await["in_flight"], 0);
    let models = house.until(|_| true).await;
    assert_eq!(models[0]["workers"][0]["in_flight"], 0);
    unread.bytes().await.expect_err("the connection is cut off");
}

#[tokio::test]
async fn a_draining_worker_finishes_and_gets_nothing_new() {
    let gate = Arc::new(Notify::new());
    let old = FakeWorker::answering([sse(&["old"]), vec![Step::Gate(gate.clone())]].concat()).await;
    let new = FakeWorker::answering(chat_answer("new")).await;
    let house = House::new().await;
    house.serving("kitten", &old).await;
    let mut events = house.chat("kitten", true).send().await.unwrap().bytes_stream();
    events.next().await.unwrap().unwrap();
    house.backend.change(&"kitten-0-0".parse().unwrap(), |worker| {
        worker.state = clowder_core::WorkerState::Draining;
    });
    house.worker("kitten-0-1", "kitten", &new.url());
    let drained = |models: &[Value]| models[0]["workers"][0]["state"]["phase"] == "draining" && models[0]["ready"] == 1;
    let models = house.until(drained).await;
    assert_eq!(models[0]["workers"][0]["in_flight"], 1, "what it has still counts");
    for _ in 0..3 {
        let response = house.chat("kitten", false).send().await.unwrap();
        assert_eq!(response.headers()["x-clowder-worker"], "kitten-0-1");
    }
    gate.notify_one();
    assert!(events.next().await.is_none(), "an orderly end");
    assert_eq!(old.seen().len(), 1);
}

#[tokio::test]
async fn the_gateway_drains_before_it_ends() {
    let gate = Arc::new(Notify::new());
    let steps = [sse(&["1"]), vec![Step::Gate(gate.clone()), Step::Chunk("data: 2\n\n".into())]].concat();
    let worker = FakeWorker::answering(steps).await;
    let house = House::new().await;
    house.serving("kitten", &worker).await;
    let follower = house.operate(reqwest::Method::GET, "/events").send().await.unwrap();
    let mut events = house.chat("kitten", true).send().await.unwrap().bytes_stream();
    events.next().await.unwrap().unwrap();
    house.stop.cancel();
    follower.bytes().await.expect("the event stream ends, it does not hold up the end");
    gate.notify_one();
    assert_eq!(events.next().await.unwrap().unwrap(), "data: 2\n\n");
    assert!(events.next().await.is_none());
    house.served.await.unwrap().unwrap();
}
