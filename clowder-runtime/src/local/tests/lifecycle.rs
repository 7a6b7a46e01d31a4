//! From start to stop.

use super::fixture::{DEAF, Fetch, Machine, SERVE, spec};
use crate::local::{DesiredFile, LocalBackend};
use clowder_core::plan::StartWorker;
use clowder_core::store::FetchProgress;
use clowder_core::testing::backend::conformance;
use clowder_core::{Action, Backend, BackendError, WorkerState};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

#[tokio::test]
async fn conforms() {
    let machine = Machine::new(SERVE).await;
    conformance(Arc::new(machine.backend), spec()).await;
}

#[test]
fn the_implementations_can_be_shared() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<LocalBackend>();
    shared::<DesiredFile>();
}

#[tokio::test]
async fn a_worker_gets_what_the_contract_says() {
    let machine = Machine::new(&format!(r#"echo "$*" >&2; {SERVE}"#)).await;
    let id = machine.start().await;
    let worker = machine.until_ready().await;
    assert_eq!(worker.endpoint.as_deref(), Some("http://127.0.0.1:9"));
    assert_eq!((worker.context, worker.slots, worker.restarts), (128, 4, 0));
    assert!(worker.pid.is_some());
    machine.stop(&id).await;
    machine.until_gone().await;
    let model = machine.folder.path().join("model.gguf");
    let line = format!(
        "--model-path {} --alias kitten --host 127.0.0.1 --port 0 --slots 4 --kv-type f16 --supervised",
        model.display()
    );
    assert_eq!(machine.log(&id, None, false).await, [line]);
}

#[tokio::test]
async fn the_node_says_what_it_has() {
    let machine = Machine::with(SERVE, [], |config| {
        config.memory = Some(1 << 30);
        config.labels.insert("disk".into(), "ssd".into());
    })
    .await;
    let node = machine.backend.inventory().await.unwrap().nodes[&"here".into()].clone();
    assert_eq!((node.capacity.memory, node.is_schedulable()), (1 << 30, true));
    assert!(node.capacity.cores > 0 && node.cached.is_empty());
    assert_eq!(node.labels["disk"], "ssd");
    machine.start().await;
    machine.until_ready().await;
    let node = machine.backend.inventory().await.unwrap().nodes[&"here".into()].clone();
    assert_eq!(node.cached, ["builtin:kitten".parse().unwrap()].into(), "only what is whole");
}

#[tokio::test]
async fn starting_again_changes_nothing() {
    let machine = Machine::new(SERVE).await;
    machine.start().await;
    let before = machine.until_ready().await;
    machine.start().await;
    machine.start_with(|spec| spec.replicas = 9).await.unwrap();
    assert_eq!(machine.worker().await, before);
    assert_eq!(machine.store.asked.load(Ordering::SeqCst), 1);
    let other = machine.start_with(|spec| spec.engine.slots = Some(1)).await;
    assert!(matches!(other, Err(BackendError::Busy { .. })), "{other:?}");
}

#[tokio::test]
async fn a_worker_on_its_way_out_is_not_started() {
    let machine = Machine::new(DEAF).await;
    let id = machine.start().await;
    let worker = machine.until_ready().await;
    machine.stop(&id).await;
    let draining = machine.worker().await;
    assert_eq!((&draining.state, draining.serving()), (&WorkerState::Draining, None));
    let again = machine.start_with(|_| ()).await;
    assert!(matches!(again, Err(BackendError::Busy { .. })), "{again:?}");
    super::fixture::kill(&worker);
    machine.until_gone().await;
    machine.start().await;
    machine.until_ready().await;
}

#[tokio::test]
async fn a_worker_that_does_not_drain_is_killed() {
    let machine = Machine::with(DEAF, [], |config| config.grace = Duration::from_millis(20)).await;
    let id = machine.start().await;
    machine.until_ready().await;
    machine.stop(&id).await;
    machine.until_gone().await;
}

#[tokio::test]
async fn a_fetch_shows_its_progress_and_ends_with_a_stop() {
    let (held, released) = oneshot::channel();
    let progress = FetchProgress { bytes: 3, total: Some(10), rate: 2 };
    let machine = Machine::with(SERVE, [Fetch::Hang(progress, held)], |_| ()).await;
    let id = machine.start().await;
    machine.until("progress", |worker| worker.state == WorkerState::Fetching(progress)).await;
    machine.stop(&id).await;
    machine.until_gone().await;
    assert!(released.await.is_err(), "the fetch was dropped");
}

#[tokio::test]
async fn shutdown_drains_all_and_takes_nothing_new() {
    let script = format!("trap 'echo drained >&2; exit 0' TERM; {}", SERVE.replace("exec cat >/dev/null", "read _"));
    let machine = Machine::new(&script).await;
    for n in 0..3 {
        let worker = format!("kitten-0-{n}").parse().unwrap();
        let start = StartWorker { worker, spec: Arc::new(spec()), node: "here".into(), memory: 1 };
        machine.backend.apply(&Action::Start(start)).await.unwrap();
    }
    let all_serve =
        |inventory: &Arc<clowder_core::Inventory>| inventory.workers.values().all(|w| w.serving().is_some());
    clowder_core::testing::eventually(machine.backend.watch(), "all serve", all_serve).await;
    machine.backend.shutdown().await;
    assert!(machine.backend.inventory().await.unwrap().workers.is_empty());
    for n in 0..3 {
        let id = format!("kitten-0-{n}").parse().unwrap();
        assert_eq!(machine.log(&id, None, false).await, ["drained"]);
    }
    let late = machine.start_with(|_| ()).await;
    assert!(matches!(late, Err(BackendError::Refused { .. })), "{late:?}");
}

#[tokio::test]
async fn no_worker_outlives_its_backend() {
    // The process and one of its own hold a named pipe open and ignore their standard input: the pipe ends when both are
    // killed.
    let announce = SERVE.replace("exec cat >/dev/null", "sleep 600; :");
    let machine = Machine::new(&format!(r#"exec 3>"$DIR/alive"; {announce}"#)).await;
    let alive = machine.folder.path().join("alive");
    rustix::fs::mkfifoat(rustix::fs::CWD, &alive, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let mut pipe = pipe::OpenOptions::new().open_receiver(&alive).unwrap();
    machine.start().await;
    machine.until_ready().await;
    drop(machine.backend);
    let ended = tokio::time::timeout(clowder_core::testing::PATIENCE, pipe.read_to_end(&mut Vec::new())).await;
    assert_eq!(ended.unwrap().unwrap(), 0);
}
