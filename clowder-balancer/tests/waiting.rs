//! Waiting for workers: in line, within bounds, and told why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use clowder_core::WorkerState;
use clowder_core::demand::{DemandSource as _, Demands};
use clowder_core::status::ModelPhase;
use clowder_core::store::FetchProgress;
use clowder_core::testing::eventually;
use futures::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use support::{FakeWorker, House, Step, chat_answer, sse};
use tokio::sync::Notify;

async fn error(response: reqwest::Response) -> (u16, Option<String>, Value) {
    let after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), after, response.json::<Value>().await.unwrap()["error"].clone())
}

#[tokio::test]
async fn a_request_waits_for_its_model_to_become_ready() {
    let worker = FakeWorker::answering(chat_answer("hello")).await;
    let house = House::new().await;
    house.deploy("kitten").await;
    let answer = tokio::spawn(house.chat("kitten", false).send());
    house.worker("kitten-0-0", "kitten", &worker.url());
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_request_is_demand_from_its_arrival_to_its_last_byte() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let worker = FakeWorker::new(move |_| [vec![Step::Gate(held.clone())], chat_answer("hello")].concat()).await;
    let house = House::new().await;
    house.deploy("kitten").await;
    let answer = tokio::spawn(house.chat("kitten", false).send());
    let demand = |count: u32| move |demands: &Arc<Demands>| demands.values().sum::<u32>() == count;
    eventually(house.demand.watch(), "it waits", demand(1)).await;
    house.worker("kitten-0-0", "kitten", &worker.url());
    worker.requests(1).await;
    assert!(demand(1)(&Arc::new(house.demand.now())), "it is under way");
    gate.notify_one();
    answer.await.unwrap().unwrap().bytes().await.unwrap();
    eventually(house.demand.watch(), "none is left", demand(0)).await;
}

#[tokio::test]
async fn a_request_by_a_further_name_is_demand_for_the_model() {
    let house = House::new().await;
    house.deploy("kitten").await;
    let named = house.operate(reqwest::Method::PATCH, "/models/kitten").body(r#"{"aliases":["cat"]}"#);
    assert_eq!(named.send().await.unwrap().status(), 200);
    let answers = ["cat", "kitten"].map(|name| tokio::spawn(house.chat(name, false).send()));
    let model = "kitten".parse().unwrap();
    let both = |demands: &Arc<Demands>| demands.len() == 1 && demands.get(&model) == Some(&2);
    eventually(house.demand.watch(), "both wait for one model", both).await;
    answers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn who_waited_too_long_is_told_why() {
    let house = House::with(|config| config.timeouts.worker_wait = Duration::from_millis(20)).await;
    house.deploy("kitten").await;
    let progress = FetchProgress { bytes: 40, total: Some(100), rate: 10 };
    house.worker_with("kitten-0-0", "kitten", "http://127.0.0.1:9", |worker| {
        worker.state = WorkerState::Fetching(progress);
    });
    house.fares("kitten", ModelPhase::Fetching, None).await;
    let (status, after, told) = error(house.chat("kitten", false).send().await.unwrap()).await;
    assert_eq!((status, after.as_deref()), (503, Some("5")));
    assert_eq!(told["code"], "model_not_ready");
    assert_eq!(told["message"], "kitten is being fetched: 40 %, 6 s left.");
}

#[tokio::test]
async fn a_model_that_failed_for_good_is_not_waited_for() {
    let house = House::with(|config| config.timeouts.worker_wait = Duration::from_secs(3600)).await;
    house.deploy("kitten").await;
    let answer = tokio::spawn(house.chat("kitten", false).send());
    house.fares("kitten", ModelPhase::Failed, Some("the file is no GGUF")).await;
    let (status, _, told) = error(answer.await.unwrap().unwrap()).await;
    assert_eq!((status, &told["message"]), (503, &"kitten failed: the file is no GGUF.".into()));
}

#[tokio::test]
async fn a_worker_gets_no_more_than_its_slots_can_use_and_the_line_keeps_its_order() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let worker = FakeWorker::new(move |_| [vec![Step::Gate(held.clone())], chat_answer("hello")].concat()).await;
    let house = House::with(|config| config.limits.in_flight_per_slot = 1).await;
    house.deploy("kitten").await;
    house.worker_with("kitten-0-0", "kitten", &worker.url(), |worker| worker.slots = 1);
    let first = tokio::spawn(house.chat("kitten", false).send());
    worker.requests(1).await;
    let second = tokio::spawn(house.chat("kitten", false).send());
    while house.status().await["queued"] != 1 {}
    assert_eq!(house.status().await["in_flight"], 1);
    assert_eq!(worker.seen().len(), 1);
    gate.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    worker.requests(2).await;
    gate.notify_one();
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_full_queue_refuses_and_a_place_is_given_back_by_whoever_leaves() {
    let house = House::with(|config| config.limits.queued = 1).await;
    house.deploy("kitten").await;
    let waiting = tokio::spawn(house.chat("kitten", false).send());
    while house.status().await["queued"] != 1 {}
    let (status, after, told) = error(house.chat("kitten", false).send().await.unwrap()).await;
    assert_eq!((status, after.as_deref(), &told["code"]), (429, Some("1"), &"queue_full".into()));
    waiting.abort();
    while house.status().await["queued"] != 0 {}
}

#[tokio::test]
async fn one_models_line_is_bounded_too() {
    let house = House::with(|config| config.limits.queued_per_model = 1).await;
    house.deploy("kitten").await;
    // Whichever of the two comes second is refused; the other waits.
    let asked = [house.chat("kitten", false), house.chat("kitten", false)].map(|request| Box::pin(request.send()));
    let refused = futures::future::select_all(asked).await.0.unwrap();
    assert_eq!(error(refused).await.2["message"], "Too many requests wait for kitten already: try again later.");
}

#[tokio::test]
async fn busy_workers_are_told_apart_from_absent_ones() {
    let gate = Arc::new(Notify::new());
    let worker = FakeWorker::answering(vec![Step::Gate(gate)]).await;
    let house = House::with(|config| {
        config.limits.in_flight_per_slot = 1;
        config.timeouts.worker_wait = Duration::from_millis(50);
    })
    .await;
    house.deploy("kitten").await;
    house.worker_with("kitten-0-0", "kitten", &worker.url(), |worker| worker.slots = 1);
    let _first = tokio::spawn(house.chat("kitten", false).send());
    worker.requests(1).await;
    let (status, _, told) = error(house.chat("kitten", false).send().await.unwrap()).await;
    assert_eq!((status, &told["code"]), (429, &"model_busy".into()));
}

#[tokio::test]
async fn a_model_removed_while_it_is_waited_for() {
    let house = House::new().await;
    house.deploy("kitten").await;
    let waiting = tokio::spawn(house.chat("kitten", false).send());
    while house.status().await["queued"] != 1 {}
    house.operate(reqwest::Method::DELETE, "/models/kitten").send().await.unwrap().error_for_status().unwrap();
    let (status, _, told) = error(waiting.await.unwrap().unwrap()).await;
    assert_eq!((status, &told["message"]), (404, &"There is no model \"kitten\"; none is deployed.".into()));
}

#[tokio::test]
async fn an_answer_that_was_waited_for_says_how_long() {
    let worker = FakeWorker::answering(chat_answer("hello")).await;
    let house = House::new().await;
    house.deploy("kitten").await;
    let answer = tokio::spawn(house.chat("kitten", false).send());
    let demand = |demands: &Arc<Demands>| !demands.is_empty();
    eventually(house.demand.watch(), "it waits", demand).await;
    // Its turn in line comes in the same step as its demand: who sees the one and asks again is behind the other.
    house.status().await;
    house.worker("kitten-0-0", "kitten", &worker.url());
    let answer = answer.await.unwrap().unwrap();
    let waited: u64 = answer.headers()["x-clowder-waited-ms"].to_str().unwrap().parse().unwrap();
    assert!((1..30_000).contains(&waited), "{waited}");
}

/// A model that is being fetched, and a house that tells soon what its requests wait for.
async fn fetching() -> House {
    let house = House::with(|config| config.timeouts.progress = Duration::from_millis(20)).await;
    house.deploy("kitten").await;
    let progress = FetchProgress { bytes: 40, total: Some(100), rate: 10 };
    house.worker_with("kitten-0-0", "kitten", "http://127.0.0.1:9", |worker| {
        worker.state = WorkerState::Fetching(progress);
    });
    house.fares("kitten", ModelPhase::Fetching, None).await;
    house
}

#[tokio::test]
async fn who_asks_for_it_is_told_what_a_stream_waits_for() {
    let worker = FakeWorker::answering(sse(&["1", "[DONE]"])).await;
    let house = fetching().await;
    let request = house.chat("kitten", true).header("x-clowder-progress", "sse");
    let answer = request.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let mut chunks = answer.bytes_stream();
    for _ in 0..2 {
        let told = chunks.next().await.unwrap().unwrap();
        assert_eq!(told, ": kitten is being fetched: 40 %, 6 s left\n\n");
    }
    house.worker("kitten-0-1", "kitten", &worker.url());
    let mut rest = Vec::new();
    while let Some(chunk) = chunks.next().await {
        rest.extend_from_slice(&chunk.unwrap());
    }
    let rest = String::from_utf8(rest).unwrap();
    let events: Vec<&str> = rest.lines().filter(|line| line.starts_with("data: ")).collect();
    assert_eq!(events, ["data: 1", "data: [DONE]"], "{rest}");
}

#[tokio::test]
async fn a_failure_after_that_is_the_streams_last_event_and_a_client_that_leaves_leaves_the_line() {
    let house = fetching().await;
    let request = || house.chat("kitten", true).header("x-clowder-progress", "sse");
    let mut chunks = request().send().await.unwrap().bytes_stream();
    chunks.next().await.unwrap().unwrap();
    house.operate(reqwest::Method::DELETE, "/models/kitten").send().await.unwrap().error_for_status().unwrap();
    let mut last = Vec::new();
    while let Some(chunk) = chunks.next().await {
        last = chunk.unwrap().to_vec();
    }
    let last = String::from_utf8(last).unwrap();
    let error: Value = serde_json::from_str(last.strip_prefix("data: ").expect(&last)).unwrap();
    assert_eq!(error["error"]["code"], "model_not_found");

    house.deploy("kitten").await;
    let mut chunks = request().send().await.unwrap().bytes_stream();
    chunks.next().await.unwrap().unwrap();
    drop(chunks);
    while house.status().await["queued"] != 0 {}
}

#[tokio::test]
async fn who_does_not_ask_gets_a_status_and_so_does_who_asks_for_no_stream() {
    let house = fetching().await;
    let plain = tokio::spawn(house.chat("kitten", true).send());
    let unstreamed = tokio::spawn(house.chat("kitten", false).header("x-clowder-progress", "sse").send());
    while house.status().await["queued"] != 2 {}
    house.operate(reqwest::Method::DELETE, "/models/kitten").send().await.unwrap().error_for_status().unwrap();
    for answer in [plain, unstreamed] {
        assert_eq!(error(answer.await.unwrap().unwrap()).await.0, 404);
    }
}
