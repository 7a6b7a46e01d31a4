#![allow(clippy::needless_pass_by_value, reason = "what json! makes is handed over")]

use super::*;
use serde_json::{Value, json};

const AT: &str = "2026-01-01T00:00:00Z";
const AT_MS: u64 = 1_767_225_600_000;

fn pod(metadata: Value, status: Value) -> Pod {
    let note = r#"{"model":"kitten","revision":7,"node":"placed","memory":1000,"slots":2,"context":512}"#;
    let mut pod = json!({
        "metadata": { "name": "kitten-00000007-0", "annotations": { WORKER_ANNOTATION: note } },
        "status": status,
    });
    if let Value::Object(more) = metadata {
        pod["metadata"].as_object_mut().unwrap().extend(more);
    }
    serde_json::from_value(pod).unwrap()
}

fn container(name: &str, state: Value, last: Value, restarts: i32, ready: bool) -> Value {
    json!({
        "name": name, "image": "clowder:dev", "imageID": "", "ready": ready, "restartCount": restarts,
        "state": state, "lastState": last,
    })
}

fn ended(code: i32, reason: &str, message: &str) -> Value {
    json!({ "terminated": { "exitCode": code, "reason": reason, "message": message, "finishedAt": AT } })
}

fn waits(reason: &str, message: &str) -> Value {
    json!({ "waiting": { "reason": reason, "message": message } })
}

fn scheduled() -> Value {
    json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": AT })
}

fn ready(status: &str) -> Value {
    json!({ "type": "Ready", "status": status, "lastTransitionTime": AT })
}

/// A scheduled Pod with `fetch` in a state.
fn fetching(state: Value, last: Value, restarts: i32) -> Worker {
    let status = json!({
        "phase": "Pending",
        "conditions": [scheduled(), ready("False")],
        "initContainerStatuses": [container("fetch", state, last, restarts, false)],
        "containerStatuses": [container("worker", waits("PodInitializing", ""), json!({}), 0, false)],
    });
    worker(&pod(json!({}), status)).unwrap()
}

/// A Pod whose model is there, with `worker` in a state.
fn serving(state: Value, last: Value, restarts: i32, is_ready: bool, condition: &str) -> Worker {
    let status = json!({
        "phase": "Running",
        "podIP": "10.1.2.3",
        "conditions": [scheduled(), ready(condition)],
        "initContainerStatuses": [container("fetch", ended(0, "Completed", ""), json!({}), 0, true)],
        "containerStatuses": [container("worker", state, last, restarts, is_ready)],
    });
    worker(&pod(json!({}), status)).unwrap()
}

fn running() -> Value {
    json!({ "running": { "startedAt": AT } })
}

#[track_caller]
fn assert_backoff(worker: &Worker, reason: &str, retry_at_ms: u64) {
    assert_eq!(worker.state, WorkerState::Backoff { reason: reason.to_owned(), retry_at_ms });
}

#[track_caller]
fn assert_failed(worker: &Worker, reason: &str) {
    assert_eq!(worker.state, WorkerState::Failed { reason: reason.to_owned() });
}

#[test]
fn what_the_note_says_is_the_workers() {
    let worker = worker(&pod(json!({}), json!({}))).unwrap();
    assert_eq!(worker.id.as_str(), "kitten-00000007-0");
    assert_eq!((worker.model.as_str(), worker.node.as_str()), ("kitten", "placed"));
    assert_eq!((worker.revision.0, worker.memory, worker.slots, worker.context), (7, 1000, 2, 512));
    assert_eq!((worker.state, worker.endpoint, worker.last_exit), (WorkerState::Pending, None, None));
}

#[test]
fn a_pod_without_a_note_is_no_worker() {
    for annotations in [json!({}), json!({ WORKER_ANNOTATION: "{" }), json!({ WORKER_ANNOTATION: r#"{"model":"-"}"# })]
    {
        assert_eq!(worker(&pod(json!({ "annotations": annotations }), json!({}))), None);
    }
}

#[test]
fn the_node_is_where_the_pod_is_bound() {
    let mut bound = pod(json!({}), json!({}));
    bound.spec = Some(serde_json::from_value(json!({ "containers": [], "nodeName": "bound" })).unwrap());
    assert_eq!(worker(&bound).unwrap().node.as_str(), "bound");
}

#[test]
fn pending_until_something_happens() {
    let fresh = worker(&pod(json!({}), json!({ "phase": "Pending" }))).unwrap();
    assert_eq!(fresh.state, WorkerState::Pending);
    assert_eq!(fetching(waits("PodInitializing", ""), json!({}), 0).state, WorkerState::Pending);
    assert_eq!(serving(waits("PodInitializing", ""), json!({}), 0, false, "False").state, WorkerState::Pending);
}

#[test]
fn unschedulable_with_the_schedulers_words() {
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": AT,
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    });
    let worker = worker(&pod(json!({}), json!({ "phase": "Pending", "conditions": [condition] }))).unwrap();
    let words = "the scheduler finds no place for its Pod: 0/3 nodes are available: 3 Insufficient memory.";
    assert_backoff(&worker, words, AT_MS);
}

#[test]
fn fetching_while_fetch_runs() {
    assert_eq!(fetching(running(), json!({}), 0).state, WorkerState::Fetching(FetchProgress::default()));
    let again = fetching(running(), ended(1, "Error", "no route"), 1);
    assert_eq!(again.state, WorkerState::Fetching(FetchProgress::default()));
    assert_eq!(again.last_exit.unwrap().reason, "exit code 1: no route");
}

#[test]
fn a_fetch_that_may_succeed_later_waits() {
    let said = "fetching the model failed: exit code 1: hub.example does not answer";
    let end = ended(1, "Error", "hub.example does not answer");
    assert_backoff(&fetching(end.clone(), json!({}), 0), said, AT_MS + 10_000);
    let waiting = waits("CrashLoopBackOff", "back-off 40s restarting failed container");
    assert_backoff(&fetching(waiting.clone(), end.clone(), 2), said, AT_MS + 40_000);
    assert_backoff(&fetching(waiting, end, 90), said, AT_MS + 300_000);
}

#[test]
fn a_fetch_that_never_will_succeed_fails_and_stays_so() {
    let said = "fetching the model failed: exit code 3: there is no such repository";
    let end = ended(3, "Error", "there is no such repository");
    assert_failed(&fetching(end.clone(), json!({}), 0), said);
    assert_failed(&fetching(waits("CrashLoopBackOff", "back-off"), end.clone(), 1), said);
    assert_failed(&fetching(running(), end, 2), said);
}

#[test]
fn an_image_that_cannot_be_had() {
    let said = "its image cannot be had: Back-off pulling image \"clowder:dev\"";
    for word in ["ImagePullBackOff", "ErrImagePull"] {
        assert_backoff(&fetching(waits(word, "Back-off pulling image \"clowder:dev\""), json!({}), 0), said, AT_MS);
    }
    let worker = serving(waits("ErrImagePull", ""), json!({}), 0, false, "False");
    assert_backoff(&worker, "its image cannot be had: ErrImagePull", AT_MS);
}

#[test]
fn a_secret_that_is_not_there() {
    let worker = fetching(waits("CreateContainerConfigError", "secret \"clowder-tokens\" not found"), json!({}), 0);
    assert_backoff(&worker, "its container lacks something: secret \"clowder-tokens\" not found", AT_MS);
}

#[test]
fn starting_then_ready_with_an_endpoint() {
    let starting = serving(running(), json!({}), 0, false, "False");
    assert_eq!((starting.state, starting.endpoint), (WorkerState::Starting, None));
    let ready = serving(running(), json!({}), 0, true, "True");
    assert_eq!(ready.serving(), Some("http://10.1.2.3:8000"));
    let again = serving(running(), ended(1, "Error", ""), 1, false, "False");
    assert_eq!((again.state, again.restarts), (WorkerState::Starting, 1));
}

#[test]
fn an_endpoint_of_version_6() {
    let mut six = pod(json!({}), json!({ "podIP": "fd00::7", "phase": "Running" }));
    six.metadata.deletion_timestamp = Some(Time(k8s_openapi::jiff::Timestamp::from_second(1).unwrap()));
    assert_eq!(worker(&six).unwrap().endpoint.as_deref(), Some("http://[fd00::7]:8000"));
}

#[test]
fn a_crash_loop_says_how_it_crashes() {
    let waiting = || waits("CrashLoopBackOff", "back-off 20s restarting failed container");
    let told = [
        (ended(1, "Error", "no GPU\n"), "the worker failed: exit code 1: no GPU"),
        (ended(137, "Error", ""), "the worker failed: killed by signal 9 (SIGKILL)"),
        (
            ended(137, "OOMKilled", ""),
            "the worker failed: killed because it took more memory than its container may: ask for fewer slots or a \
             shorter context",
        ),
    ];
    for (end, said) in told {
        let worker = serving(waiting(), end.clone(), 1, false, "False");
        assert_backoff(&worker, said, AT_MS + 20_000);
        assert_eq!(worker.last_exit.unwrap().at_ms, AT_MS);
        assert_backoff(&serving(end, json!({}), 1, false, "False"), said, AT_MS + 20_000);
    }
}

#[test]
fn a_model_that_cannot_be_loaded_fails_and_stays_so() {
    let said = "the worker failed: exit code 3: the file is no GGUF";
    let end = ended(3, "Error", "the file is no GGUF");
    assert_failed(&serving(end.clone(), json!({}), 0, false, "False"), said);
    assert_failed(&serving(waits("CrashLoopBackOff", "back-off"), end.clone(), 1, false, "False"), said);
    assert_failed(&serving(running(), end.clone(), 2, false, "False"), said);
    let mended = serving(running(), end, 2, true, "True");
    assert_eq!(mended.state, WorkerState::Ready, "somebody mended what was wrong");
}

#[test]
fn one_without_its_model_is_over() {
    let end = ended(4, "Error", "/model/model.gguf was removed");
    let worker = serving(end.clone(), json!({}), 0, false, "False");
    assert_eq!(worker.state, WorkerState::Stopped);
    assert!(worker.last_exit.unwrap().reason.contains("was removed"));
    let backing_off = serving(waits("CrashLoopBackOff", "back-off"), end.clone(), 1, false, "False");
    assert_eq!(backing_off.state, WorkerState::Stopped);
    // A node that was started again has fetched again.
    assert_eq!(serving(running(), end, 1, true, "True").state, WorkerState::Ready);
}

#[test]
fn evicted_is_stopped() {
    let status = json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." });
    assert_eq!(worker(&pod(json!({}), status.clone())).unwrap().state, WorkerState::Stopped);
    let leaving = json!({ "deletionTimestamp": AT });
    assert_eq!(worker(&pod(leaving, status)).unwrap().state, WorkerState::Stopped);
}

#[test]
fn terminating_is_draining_and_listens_on() {
    let status = json!({
        "phase": "Running",
        "podIP": "10.1.2.3",
        "conditions": [scheduled(), ready("True")],
        "containerStatuses": [container("worker", running(), json!({}), 0, true)],
    });
    let worker = worker(&pod(json!({ "deletionTimestamp": AT }), status)).unwrap();
    assert_eq!(worker.state, WorkerState::Draining);
    assert_eq!(worker.endpoint.as_deref(), Some("http://10.1.2.3:8000"));
}

#[test]
fn a_node_that_is_lost() {
    // The node controller takes the Pod's readiness back; what kubelet last said of the container stays.
    assert_backoff(&serving(running(), json!({}), 0, true, "False"), "its node does not answer", AT_MS);
    // Later it marks the Pod for deletion.
    let status = json!({ "phase": "Running", "reason": "NodeLost" });
    assert_eq!(worker(&pod(json!({ "deletionTimestamp": AT }), status)).unwrap().state, WorkerState::Draining);
}

#[test]
fn an_inventory_is_all_workers_and_nodes() {
    let stranger: Pod = serde_json::from_value(json!({ "metadata": { "name": "stranger" } })).unwrap();
    let node = serde_json::from_value(json!({ "metadata": { "name": "n" } })).unwrap();
    let inventory = crate::observe::inventory([&pod(json!({}), json!({})), &stranger], [&node]);
    assert_eq!((inventory.workers.len(), inventory.nodes.len()), (1, 1));
}

#[test]
fn what_the_scheduler_puts_nowhere_is_refused() {
    let unscheduled = |reason: &str| {
        let condition =
            json!({ "type": "PodScheduled", "status": "False", "reason": reason, "lastTransitionTime": AT });
        let status = json!({ "phase": "Pending", "conditions": [condition] });
        worker(&pod(json!({}), status)).unwrap()
    };
    assert!(unscheduled("Unschedulable").refused);
    assert!(!unscheduled("SchedulingGated").refused);
    assert!(!serving(running(), json!({}), 0, true, "True").refused);
}

#[test]
fn a_pod_that_is_there_keeps_its_memory_whatever_became_of_the_worker() {
    let node = |memory: &str| {
        let status = json!({ "allocatable": { "memory": memory } });
        serde_json::from_value(json!({ "metadata": { "name": "placed" }, "status": status })).unwrap()
    };
    let free = |phase: &str, end: Value, memory: &str| {
        let status = json!({
            "phase": phase,
            "conditions": [scheduled(), ready("False")],
            "initContainerStatuses": [container("fetch", ended(0, "Completed", ""), json!({}), 0, true)],
            "containerStatuses": [container("worker", end, json!({}), 0, false)],
        });
        let inventory = crate::observe::inventory([&pod(json!({}), status)], [&node(memory)]);
        inventory.free_memory(&inventory.nodes[&NodeName::from("placed")])
    };
    let [crashed, failed, lacks_its_model] = [1, 3, 4].map(|code| free("Running", ended(code, "Error", ""), "5000"));
    assert_eq!((crashed, failed, lacks_its_model), (4000, 4000, 4000));
    assert_eq!(free("Failed", ended(1, "Evicted", ""), "5000"), 5000, "a Pod that is over has nothing of its node");
    assert_eq!(free("Running", ended(3, "Error", ""), "10"), 0);
}
