//! What goes wrong, and what is said and done about it.

use super::fixture::{Fetch, Machine, SERVE, kill, unreachable};
use clowder_core::secret::Credentials;
use clowder_core::source::SourceError;
use clowder_core::{Worker, WorkerState};
use std::sync::atomic::Ordering;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn backing_off(worker: &Worker) -> bool {
    matches!(worker.state, WorkerState::Backoff { .. })
}

fn failed(worker: &Worker) -> bool {
    matches!(worker.state, WorkerState::Failed { .. })
}

/// The reason of the first failure of a worker that is `script`.
async fn first_reason(script: &str, silence: Duration) -> String {
    let machine = Machine::with(script, [], |config| {
        (config.backoff.first, config.backoff.longest) = (HOUR, HOUR);
        config.startup_silence = silence;
    })
    .await;
    machine.start().await;
    let worker = machine.until("backoff", backing_off).await;
    assert_eq!((worker.pid, worker.endpoint.as_deref()), (None, None));
    let reason = worker.state.reason().unwrap().to_owned();
    assert_eq!(worker.last_exit.unwrap().reason, reason);
    reason
}

#[tokio::test]
async fn a_killed_worker_is_replaced() {
    let machine = Machine::new(SERVE).await;
    machine.start().await;
    let first = machine.until_ready().await;
    kill(&first);
    let second = machine.until("another process", |w| w.serving().is_some() && w.pid != first.pid).await;
    assert_eq!(second.restarts, 1);
    assert!(second.last_exit.unwrap().reason.starts_with("killed by signal 9 (SIGKILL)"));
    assert_eq!(machine.store.asked.load(Ordering::SeqCst), 1, "the model was there");
}

#[tokio::test]
async fn a_model_that_vanished_is_fetched_again() {
    let machine = Machine::new(SERVE).await;
    machine.start().await;
    let first = machine.until_ready().await;
    std::fs::remove_file(machine.folder.path().join("model.gguf")).unwrap();
    kill(&first);
    machine.until("another process", |w| w.serving().is_some() && w.pid != first.pid).await;
    assert_eq!(machine.store.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_crash_is_explained_from_the_log() {
    let crash_once = r#"[ -e "$DIR/crashed" ] || { : >"$DIR/crashed"; echo 'error: out of memory' >&2; exit 1; }"#;
    let machine = Machine::new(&format!("{crash_once}; {SERVE}")).await;
    machine.start().await;
    let worker = machine.until_ready().await;
    assert_eq!(worker.restarts, 1);
    assert_eq!(worker.last_exit.unwrap().reason, "exit code 1: error: out of memory");
}

#[tokio::test]
async fn a_worker_that_ends_before_it_announces_itself_is_explained() {
    assert_eq!(first_reason("exit 7", HOUR).await, "exit code 7");
    assert_eq!(first_reason("exit 0", HOUR).await, "it ended by itself (exit code 0)");
}

#[tokio::test]
async fn a_silent_worker_is_killed() {
    let reason = first_reason("read _", Duration::from_millis(20)).await;
    assert!(reason.starts_with("killed because it wrote nothing for 20ms"), "{reason}");
}

#[tokio::test]
async fn a_worker_that_says_something_else_is_killed() {
    let reason = first_reason("echo Hello; exec cat >/dev/null", HOUR).await;
    assert!(reason.contains("no announcement of a worker: Hello"), "{reason}");
    let elsewhere = r#"echo '{"serving":{"endpoint":"http://evil/x?","context":1,"slots":1}}'; exec cat >/dev/null"#;
    let reason = first_reason(elsewhere, HOUR).await;
    assert!(reason.contains("no announcement of a worker"), "{reason}");
    let endless =
        "while :; do printf xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx || exit; done | head -c 100000; echo; exec cat >/dev/null";
    let reason = first_reason(endless, HOUR).await;
    assert!(reason.contains("no announcement of a worker") && reason.len() < 1000, "{reason}");
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let machine = Machine::with("", [], |config| {
        config.command.program = "/no/such/worker".into();
        (config.backoff.first, config.backoff.longest) = (HOUR, HOUR);
    })
    .await;
    machine.start().await;
    let worker = machine.until("backoff", backing_off).await;
    let reason = worker.state.reason().unwrap();
    assert!(reason.contains("/no/such/worker cannot be started: No such file"), "{reason}");
    assert_eq!(worker.last_exit, None, "there was no process");
}

#[tokio::test]
async fn an_unloadable_model_waits_for_another_spec() {
    let script = r#"echo '{"unloadable":{"reason":"no tensors"}}'; exit 3"#;
    let machine = Machine::new(script).await;
    let id = machine.start().await;
    let worker = machine.until("failure", failed).await;
    assert_eq!(worker.state.reason(), Some("no tensors"));
    assert_eq!(worker.last_exit.as_ref().unwrap().reason, "exit code 3: no tensors");
    machine.start().await;
    assert_eq!(machine.worker().await, worker, "the same spec is not tried again");
    machine.start_with(|spec| spec.engine.slots = Some(1)).await.unwrap();
    let again = machine.until("another failure", |worker| failed(worker) && worker.restarts == 1).await;
    assert_ne!(again.revision, worker.revision);
    machine.stop(&id).await;
    machine.until_gone().await;
}

#[tokio::test]
async fn an_unloadable_model_is_known_by_the_exit_code_alone() {
    let machine = Machine::new("echo 'error: bad magic' >&2; exit 3").await;
    machine.start().await;
    let worker = machine.until("failure", failed).await;
    assert_eq!(worker.state.reason(), Some("the model cannot be loaded: error: bad magic"));
    assert_eq!(worker.last_exit.unwrap().reason, "exit code 3: error: bad magic");
}

#[tokio::test]
async fn a_store_that_may_recover_is_asked_again() {
    let machine = Machine::with(SERVE, [Fetch::Fail(unreachable()), Fetch::Fail(unreachable())], |_| ()).await;
    machine.start().await;
    let worker = machine.until_ready().await;
    assert_eq!((worker.restarts, worker.last_exit), (0, None), "no process failed");
    assert_eq!(machine.store.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_store_that_panics_does_not_take_the_supervisor_along() {
    let machine = Machine::with(SERVE, [Fetch::Panic], |_| ()).await;
    machine.start().await;
    machine.until_ready().await;
}

#[tokio::test]
async fn new_credentials_end_a_wait() {
    let machine = Machine::with(SERVE, [Fetch::Fail(unreachable())], |config| {
        (config.backoff.first, config.backoff.longest) = (HOUR, HOUR);
    })
    .await;
    machine.start().await;
    let worker = machine.until("backoff", backing_off).await;
    assert_eq!(worker.state.reason(), Some("the hub cannot be reached: connection refused"));
    machine.start_with(|spec| spec.credentials = Some(Credentials::bearer("t"))).await.unwrap();
    machine.until_ready().await;
}

#[tokio::test]
async fn a_model_that_does_not_exist_is_asked_for_once() {
    let missing = SourceError::NotFound { what: "hf://o/r/f.gguf".to_owned() };
    let machine = Machine::with(SERVE, [Fetch::Fail(missing.into())], |_| ()).await;
    machine.start().await;
    let worker = machine.until("failure", failed).await;
    assert_eq!(worker.state.reason(), Some("hf://o/r/f.gguf does not exist"));
    machine.start_with(|spec| spec.credentials = Some(Credentials::bearer("t"))).await.unwrap();
    machine.until_ready().await;
}
