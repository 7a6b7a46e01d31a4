//! Scripts in a worker's place, and a store that does as it is told.

use crate::local::{LocalBackend, LocalConfig, WorkerCommand};
use async_trait::async_trait;
use clowder_core::backend::LogOptions;
use clowder_core::plan::StartWorker;
use clowder_core::source::{Digest, SourceError};
use clowder_core::store::{CachedModel, FetchProgress, FetchRequest, Lease, StoreError, StoredModel};
use clowder_core::testing::eventually;
use clowder_core::{Action, Backend, BackendError, ModelSpec, ModelStore, ModelUrl, NodeName, Worker, WorkerId};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// Announces itself and ends with its standard input.
pub(super) const SERVE: &str =
    r#"echo '{"serving":{"endpoint":"http://127.0.0.1:9","context":128,"slots":4}}'; exec cat >/dev/null"#;

/// Announces itself and is deaf to SIGTERM.
pub(super) const DEAF: &str = r#"trap '' TERM; echo '{"serving":{"endpoint":"http://127.0.0.1:9","context":128,"slots":4}}'; exec cat >/dev/null"#;

/// What the store does when it is asked.
pub(super) enum Fetch {
    Give,
    Fail(StoreError),
    Panic,
    /// Says how far it is and never ends; what is sent here is dropped with the fetch.
    Hang(FetchProgress, oneshot::Sender<()>),
}

/// A store that does what it was told, call by call, and then gives.
#[derive(Default)]
pub(super) struct ScriptedStore {
    script: Mutex<VecDeque<Fetch>>,
    pub(super) asked: AtomicUsize,
    path: PathBuf,
}

#[async_trait]
impl ModelStore for ScriptedStore {
    async fn ensure(
        &self,
        _: &NodeName,
        _: FetchRequest,
        progress: watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let fetch = self.script.lock().unwrap().pop_front().unwrap_or(Fetch::Give);
        match fetch {
            Fetch::Give => {
                let digest = Digest::from_bytes([7; 32]);
                Ok(StoredModel { path: self.path.clone(), digest, bytes: 1, lease: Lease::new(()), hold: None })
            }
            Fetch::Fail(error) => Err(error),
            Fetch::Panic => panic!("as told"),
            Fetch::Hang(now, _held) => {
                progress.send_replace(now);
                std::future::pending().await
            }
        }
    }

    async fn inventory(&self, _: &NodeName) -> Result<Vec<CachedModel>, StoreError> {
        let cached = |url: &str, complete| CachedModel {
            url: url.parse().unwrap(),
            digest: None,
            bytes: 1,
            complete,
            pinned: false,
        };
        Ok(match self.asked.load(Ordering::SeqCst) {
            0 => Vec::new(),
            _ => vec![cached("builtin:kitten", true), cached("builtin:half", false)],
        })
    }

    async fn remove(&self, _: &NodeName, _: &ModelUrl) -> Result<(), StoreError> {
        Ok(())
    }

    async fn pin(&self, _: &NodeName, _: &BTreeSet<ModelUrl>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// An error that another call may not meet.
pub(super) fn unreachable() -> StoreError {
    SourceError::Unreachable { what: "the hub".to_owned(), source: "connection refused".into() }.into()
}

/// A backend whose workers are a script.
pub(super) struct Machine {
    pub(super) backend: LocalBackend,
    pub(super) store: Arc<ScriptedStore>,
    pub(super) folder: TempDir,
}

impl Machine {
    /// A machine where a worker is `script`, run by the shell in a folder of its own, `$DIR`.
    pub(super) async fn new(script: &str) -> Self {
        Self::with(script, [], |_| ()).await
    }

    pub(super) async fn with(
        script: &str,
        fetches: impl IntoIterator<Item = Fetch>,
        change: impl FnOnce(&mut LocalConfig),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        std::fs::write(&path, "GGUF").unwrap();
        let script = format!("DIR='{}'; {script}", folder.path().display());
        let command =
            WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into(), "worker".into()] };
        let mut config = LocalConfig::new(command, folder.path().join("logs"));
        config.node = "here".into();
        config.backoff.first = Duration::from_millis(2);
        change(&mut config);
        let store =
            Arc::new(ScriptedStore { script: Mutex::new(fetches.into_iter().collect()), path, ..Default::default() });
        let backend = LocalBackend::open(config, Arc::clone(&store) as Arc<dyn ModelStore>).await.unwrap();
        Self { backend, store, folder }
    }

    pub(super) async fn start(&self) -> WorkerId {
        self.start_with(|_| ()).await.unwrap()
    }

    pub(super) async fn start_with(&self, change: impl FnOnce(&mut ModelSpec)) -> Result<WorkerId, BackendError> {
        let mut spec = spec();
        change(&mut spec);
        let worker: WorkerId = "kitten-0-0".parse().unwrap();
        let start = StartWorker { worker: worker.clone(), spec: Arc::new(spec), node: "here".into(), memory: 1 << 20 };
        self.backend.apply(&Action::Start(start)).await.map(|()| worker)
    }

    pub(super) async fn stop(&self, worker: &WorkerId) {
        self.backend.apply(&Action::Stop { worker: worker.clone() }).await.unwrap();
    }

    /// The worker as soon as it is as wanted.
    pub(super) async fn until(&self, what: &str, fits: impl Fn(&Worker) -> bool) -> Worker {
        let workers = self.backend.watch().map(|inventory| inventory.workers.values().next().cloned());
        let fits = |worker: &Option<Arc<Worker>>| worker.as_deref().is_some_and(&fits);
        Worker::clone(&eventually(workers, what, fits).await.unwrap())
    }

    pub(super) async fn until_ready(&self) -> Worker {
        self.until("the worker serves", |worker| worker.serving().is_some()).await
    }

    pub(super) async fn until_gone(&self) {
        eventually(self.backend.watch(), "the worker is gone", |inventory| inventory.workers.is_empty()).await;
    }

    /// The worker as it is now.
    pub(super) async fn worker(&self) -> Worker {
        Worker::clone(self.backend.inventory().await.unwrap().workers.values().next().unwrap())
    }

    pub(super) async fn log(&self, worker: &WorkerId, tail: Option<usize>, follow: bool) -> Vec<String> {
        let lines = self.backend.logs(worker, LogOptions { tail, follow }).await.unwrap();
        lines.try_collect().await.unwrap()
    }
}

pub(super) fn spec() -> ModelSpec {
    ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap())
}

/// Ends a worker's process as an administrator might, or the system.
pub(super) fn kill(worker: &Worker) {
    let pid = rustix::process::Pid::from_raw(worker.pid.unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
