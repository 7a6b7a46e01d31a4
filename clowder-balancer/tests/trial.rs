//! Settings on trial: their share of the requests, and that a trial costs no request.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use clowder_balancer::PolicyKind;
use clowder_core::model::{Canary, Revision};
use clowder_core::status::ModelPhase;
use clowder_core::{DesiredStore as _, ModelName, ModelSpec, WorkerState};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::{FakeWorker, House, Step, chat_answer};
use tokio::sync::Notify;

fn kitten() -> ModelSpec {
    ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap())
}

fn tried(weight: u8) -> ModelSpec {
    let mut spec = kitten();
    let mut engine = spec.engine.clone();
    engine.slots = Some(2);
    spec.rollout.canary = Some(Canary { weight, engine });
    spec
}

async fn record(house: &House, spec: ModelSpec) {
    let name: ModelName = spec.name.clone();
    let recorded = house.desired.update(&name, Box::new(move |_| Ok(Some(spec)))).await.unwrap().unwrap();
    let shown = |model: &Value| model["name"] == "kitten" && model["generation"] == recorded.generation;
    house.until(|models| models.iter().any(shown)).await;
}

/// A ready worker of a revision.
fn worker(house: &House, id: &str, revision: Revision, url: &str) {
    house.worker_with(id, "kitten", url, |worker| worker.revision = revision);
}

/// A gateway with a model under trial and two workers under its own settings; one on trial where there is a URL for it.
async fn house(weight: u8, own: &FakeWorker, on_trial: Option<&str>) -> House {
    let house = House::with(|config| config.policy = PolicyKind::LeastLoad).await;
    record(&house, tried(weight)).await;
    let trial = tried(weight).on_trial().unwrap().revision();
    worker(&house, "kitten-1-0", kitten().revision(), &own.url());
    worker(&house, "kitten-1-1", kitten().revision(), &own.url());
    on_trial.into_iter().for_each(|url| worker(&house, "kitten-2-0", trial, url));
    let workers = 2 + usize::from(on_trial.is_some());
    house.until(|models| models[0]["ready"] == workers).await;
    house
}

/// Sends so many requests, several at a time; how many each worker answered.
async fn answered(house: &House, requests: usize, at_once: usize) -> BTreeMap<String, usize> {
    let answers = stream::iter(0..requests).map(|_| house.chat("kitten", false).send()).buffer_unordered(at_once);
    let answers = answers.map(|response| {
        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        response.headers()["x-clowder-worker"].to_str().unwrap().to_owned()
    });
    answers
        .fold(BTreeMap::new(), |mut counts, worker| async move {
            *counts.entry(worker).or_default() += 1;
            counts
        })
        .await
}

async fn metrics(house: &House) -> String {
    house.get("/metrics").send().await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn a_trial_has_its_weight_of_the_requests_and_is_counted_apart() {
    let (own, on_trial) =
        (FakeWorker::answering(chat_answer("a")).await, FakeWorker::answering(chat_answer("b")).await);
    let house = house(10, &own, Some(&on_trial.url())).await;
    let counts = answered(&house, 1000, 4).await;
    assert_eq!(counts["kitten-2-0"], 100, "{counts:?}");
    assert!(counts["kitten-1-0"] > 0 && counts["kitten-1-1"] > 0, "its own ones share as ever: {counts:?}");
    let page = metrics(&house).await;
    for (group, count) in [("own", 900), ("trial", 100)] {
        for sample in [
            format!(r#"clowder_gateway_requests_total{{model="kitten",outcome="200",group="{group}"}} {count}"#),
            format!(r#"clowder_gateway_request_duration_seconds_count{{model="kitten",group="{group}"}} {count}"#),
            format!(r#"clowder_gateway_time_to_first_byte_seconds_count{{model="kitten",group="{group}"}} {count}"#),
        ] {
            assert!(page.contains(&sample), "{sample}: {page}");
        }
    }
}

#[tokio::test]
async fn where_one_group_has_none_the_other_has_all() {
    let worker_of_both = FakeWorker::answering(chat_answer("a")).await;
    let house = house(90, &worker_of_both, None).await;
    let counts = answered(&house, 20, 2).await;
    assert_eq!(counts.values().sum::<usize>(), 20, "{counts:?}");
    let trial = tried(90).on_trial().unwrap().revision();
    worker(&house, "kitten-2-0", trial, &worker_of_both.url());
    for id in ["kitten-1-0", "kitten-1-1"] {
        house.backend.change(&id.parse().unwrap(), |worker| worker.state = WorkerState::Draining);
    }
    house.until(|models| models[0]["ready"] == 1).await;
    assert_eq!(answered(&house, 20, 2).await, BTreeMap::from([("kitten-2-0".to_owned(), 20)]));
}

#[tokio::test]
async fn workers_of_an_earlier_revision_are_with_the_models_own() {
    let (own, on_trial) =
        (FakeWorker::answering(chat_answer("a")).await, FakeWorker::answering(chat_answer("b")).await);
    let house = house(50, &own, Some(&on_trial.url())).await;
    worker(&house, "kitten-0-0", Revision(0), &own.url());
    house.until(|models| models[0]["ready"] == 4).await;
    let counts = answered(&house, 100, 1).await;
    assert_eq!(counts["kitten-2-0"], 50, "{counts:?}");
    assert!(counts["kitten-0-0"] > 0, "{counts:?}");
}

#[tokio::test]
async fn a_trial_that_breaks_off_costs_no_request_and_is_told_of() {
    let own = FakeWorker::answering(chat_answer("a")).await;
    let broken = FakeWorker::answering(vec![Step::Reset]).await;
    for broken in [broken.url(), FakeWorker::refusing().await] {
        let house = house(50, &own, Some(&broken)).await;
        let counts = answered(&house, 100, 4).await;
        assert!(!counts.contains_key("kitten-2-0"), "{counts:?}");
        let page = metrics(&house).await;
        assert!(page.contains(r#",model="kitten",group="trial"}"#), "its retries: {page}");
        assert!(page.contains(r#"requests_total{model="kitten",outcome="200",group="own"} 100"#), "{page}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_group_that_is_busy_while_the_other_has_room() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let own = FakeWorker::answering(chat_answer("a")).await;
    let slow = FakeWorker::new(move |_| [vec![Step::Gate(held.clone())], chat_answer("b")].concat()).await;
    let house = house(99, &own, Some(&slow.url())).await;
    // Four slots, and as many requests again that wait there already.
    let waiting: Vec<_> = (0..8).map(|_| tokio::spawn(house.chat("kitten", false).send())).collect();
    slow.requests(8).await;
    let counts = answered(&house, 20, 2).await;
    assert!(!counts.contains_key("kitten-2-0"), "{counts:?}");
    for answer in waiting {
        gate.notify_one();
        drop(answer);
    }
}

#[tokio::test]
async fn a_conversation_stays_with_the_settings_that_it_began_with() {
    let (own, on_trial) =
        (FakeWorker::answering(chat_answer("a")).await, FakeWorker::answering(chat_answer("b")).await);
    let house = house(50, &own, Some(&on_trial.url())).await;
    let ask = async |messages: &[String]| {
        let messages: Vec<Value> = messages.iter().map(|text| json!({"role": "user", "content": text})).collect();
        let body = json!({"model": "kitten", "messages": messages}).to_string();
        let response = house.post("/v1/chat/completions", body).send().await.unwrap();
        response.headers()["x-clowder-worker"] == "kitten-2-0"
    };
    let mut talks: Vec<(Vec<String>, bool)> = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let talk = vec!["be brief".to_owned(), name.to_owned()];
        let is_tried = ask(&talk).await;
        talks.push((talk, is_tried));
    }
    assert_eq!(talks.iter().filter(|(_, is_tried)| *is_tried).count(), 2);
    for turn in 0..3 {
        for (talk, is_tried) in &mut talks {
            talk.push(format!("{turn}"));
            assert_eq!(ask(talk).await, *is_tried, "{talk:?}");
        }
    }
}

#[tokio::test]
async fn promoted_or_taken_back_the_requests_follow() {
    let (own, on_trial) =
        (FakeWorker::answering(chat_answer("a")).await, FakeWorker::answering(chat_answer("b")).await);
    let house = house(50, &own, Some(&on_trial.url())).await;
    let mut promoted = tried(50).on_trial().unwrap();
    promoted.replicas = 3;
    record(&house, promoted).await;
    answered(&house, 30, 3).await;
    let page = metrics(&house).await;
    assert!(page.contains(r#"outcome="200",group="own"} 30"#) && !page.contains(r#"group="trial""#), "{page}");
}

#[tokio::test]
async fn the_api_tells_how_a_trial_fares() {
    let (own, on_trial) =
        (FakeWorker::answering(chat_answer("a")).await, FakeWorker::answering(chat_answer("b")).await);
    let house = house(10, &own, Some(&on_trial.url())).await;
    house.fares("kitten", ModelPhase::Degraded, Some("on trial: no room")).await;
    let view = house.operate(reqwest::Method::GET, "/models/kitten").send().await.unwrap();
    let view: Value = view.json().await.unwrap();
    let revision = tried(10).on_trial().unwrap().revision();
    assert_eq!(view["canary"], json!({"weight": 10, "revision": revision, "replicas": 1, "ready": 1}));
    assert_eq!((&view["ready"], &view["reason"]), (&json!(3), &json!("on trial: no room")));
    record(&house, kitten()).await;
    let view = house.operate(reqwest::Method::GET, "/models/kitten").send().await.unwrap();
    assert_eq!(view.json::<Value>().await.unwrap()["canary"], Value::Null);
}
