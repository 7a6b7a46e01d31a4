//! What workers wrote.

use super::fixture::{Machine, SERVE, kill};
use clowder_core::backend::LogOptions;
use clowder_core::{Backend, BackendError};
use futures::StreamExt;

/// A worker that writes three lines and one more when it drains.
fn talkative() -> String {
    let serve = SERVE.replace("exec cat >/dev/null", "read _");
    format!(r#"trap 'echo drained >&2; exit 0' TERM; printf 'one\ntwo\nthree\n' >&2; {serve}"#)
}

#[tokio::test]
async fn a_follower_sees_what_comes_until_the_worker_is_gone() {
    let machine = Machine::new(&talkative()).await;
    let id = machine.start().await;
    let mut lines = machine.backend.logs(&id, LogOptions { tail: None, follow: true }).await.unwrap();
    for expected in ["one", "two", "three"] {
        assert_eq!(lines.next().await.unwrap().unwrap(), expected);
    }
    machine.until_ready().await;
    machine.stop(&id).await;
    assert_eq!(lines.next().await.unwrap().unwrap(), "drained");
    assert!(lines.next().await.is_none(), "it ends with the worker");
    assert_eq!(machine.log(&id, Some(2), false).await, ["three", "drained"]);
    assert_eq!(machine.log(&id, Some(1), true).await, ["drained"], "nothing comes of a worker that is gone");
}

#[tokio::test]
async fn a_log_goes_on_over_a_restart() {
    let machine = Machine::new(&format!("echo \"process $$\" >&2; {SERVE}")).await;
    let id = machine.start().await;
    let first = machine.until_ready().await;
    kill(&first);
    let second = machine.until("another process", |w| w.serving().is_some() && w.pid != first.pid).await;
    machine.stop(&id).await;
    machine.until_gone().await;
    let expected = [first, second].map(|worker| format!("process {}", worker.pid.unwrap()));
    assert_eq!(machine.log(&id, None, false).await, expected);
}

#[tokio::test]
async fn logs_are_bounded_and_readable() {
    let flood = r"i=0; while [ $i -lt 200 ]; do echo line $i >&2; i=$((i+1)); done; printf '\377\033[1m\n' >&2";
    let machine = Machine::with(&format!("{flood}; {SERVE}"), [], |config| config.log_limits.file_bytes = 500).await;
    let id = machine.start().await;
    machine.until_ready().await;
    machine.stop(&id).await;
    machine.until_gone().await;
    let lines = machine.log(&id, None, false).await;
    assert!((50..150).contains(&lines.len()), "{}", lines.len());
    assert_eq!(lines[lines.len() - 2..], ["line 199", "\u{fffd}\u{fffd}[1m"]);
}

#[tokio::test]
async fn a_worker_that_never_was_has_no_log() {
    let machine = Machine::new(SERVE).await;
    let unknown = machine.backend.logs(&"kitten-0-7".parse().unwrap(), LogOptions::default()).await;
    assert!(matches!(unknown.err(), Some(BackendError::UnknownWorker { .. })));
}
