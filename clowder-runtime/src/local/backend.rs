//! Workers as child processes of this machine.

use super::backoff::Backoff;
use super::board::Board;
use super::config::LocalConfig;
use super::error::LocalError;
use super::files::Files;
use super::fleet::{Fleet, Member};
use super::log::{Kept, LogFolder};
use super::machine;
use super::supervisor::Supervisor;
use async_trait::async_trait;
use clowder_core::backend::LogOptions;
use clowder_core::node::Openness;
use clowder_core::plan::StartWorker;
use clowder_core::{Action, Backend, BackendError, BoxError, BoxStream, Inventory, ModelStore, Node, WorkerId};
use futures::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::wrappers::{BroadcastStream, WatchStream};
use tokio_util::task::TaskTracker;

/// The [`Backend`] of one machine: each worker is a supervised child process.
///
/// Dropping it kills all workers; [`shutdown`](Self::shutdown) lets them finish.
pub struct LocalBackend {
    config: Arc<LocalConfig>,
    store: Arc<dyn ModelStore>,
    fleet: Arc<Fleet>,
    logs: LogFolder,
    supervisors: TaskTracker,
}

impl LocalBackend {
    /// A backend without workers, of a machine whose models `store` keeps. To be called within a tokio runtime, which
    /// runs what supervises the workers.
    ///
    /// # Errors
    /// [`LocalError::LogFolder`].
    pub async fn open(config: LocalConfig, store: Arc<dyn ModelStore>) -> Result<Self, LocalError> {
        let (folder, limits) = (config.log_folder.clone(), config.log_limits);
        let logs = blocking(move || LogFolder::open(&folder, limits))
            .await
            .map_err(|source| LocalError::LogFolder { folder: config.log_folder.clone(), source })?;
        let board = Board::new(Node {
            name: config.node.clone(),
            labels: config.labels.clone(),
            capacity: machine::capacity(config.memory),
            openness: Openness::Open,
            cached: BTreeSet::new(),
        });
        board.observe_cache(store.as_ref()).await;
        let fleet = Arc::new(Fleet::new(board));
        Ok(Self { config: Arc::new(config), store, fleet, logs, supervisors: TaskTracker::new() })
    }

    /// Stops all workers at the same time and returns when they are gone: each finishes what it has and is killed when
    /// [`LocalConfig::grace`] is over. No worker can be started from now on.
    pub async fn shutdown(&self) {
        self.fleet.close();
        self.supervisors.close();
        self.supervisors.wait().await;
    }

    fn start(&self, start: &StartWorker) -> Result<(), BackendError> {
        if start.node != self.config.node {
            return Err(BackendError::UnknownNode { node: start.node.clone() });
        }
        let is_new = self.fleet.start(start, |orders| {
            let log = Arc::new(self.logs.log(&start.worker));
            let supervisor = Supervisor {
                id: start.worker.clone(),
                config: Arc::clone(&self.config),
                store: Arc::clone(&self.store),
                fleet: Arc::clone(&self.fleet),
                log: Arc::clone(&log),
                orders,
                backoff: Backoff::new(self.config.backoff),
                files: Files::default(),
                launches: 0,
            };
            Member::new(log, self.supervisors.spawn(supervisor.run()))
        })?;
        if is_new {
            self.prune_logs();
        }
        Ok(())
    }

    /// In the background: it changes nothing that anybody waits for.
    fn prune_logs(&self) {
        let (logs, present) = (self.logs.clone(), self.fleet.ids());
        spawn_blocking(move || {
            if let Err(error) = logs.prune(&present) {
                tracing::warn!(%error, "old logs of workers cannot be removed");
            }
        });
    }
}

impl Drop for LocalBackend {
    fn drop(&mut self) {
        self.fleet.abandon();
    }
}

#[async_trait]
impl Backend for LocalBackend {
    async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
        self.fleet.board.observe_cache(self.store.as_ref()).await;
        Ok(self.fleet.board.inventory())
    }

    async fn apply(&self, action: &Action) -> Result<(), BackendError> {
        match action {
            Action::Start(start) => self.start(start),
            Action::Stop { worker } => {
                self.fleet.stop(worker);
                Ok(())
            }
            other => Err(BackendError::Refused {
                worker: other.worker().clone(),
                reason: "a single machine knows only starting and stopping".to_owned(),
            }),
        }
    }

    fn watch(&self) -> BoxStream<Arc<Inventory>> {
        WatchStream::new(self.fleet.board.subscribe()).boxed()
    }

    async fn logs(
        &self,
        worker: &WorkerId,
        options: LogOptions,
    ) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
        let unreadable = |source: io::Error| BackendError::Unreachable {
            what: format!("reading of the log of worker {worker}"),
            source: BoxError::from(source),
        };
        let kept = match self.fleet.log(worker) {
            Some(log) => blocking(move || log.read(options.follow)).await.map_err(unreadable)?,
            None => {
                let (logs, id) = (self.logs.clone(), worker.clone());
                let lines = blocking(move || logs.departed(&id)).await.map_err(unreadable)?;
                let lines = lines.ok_or_else(|| BackendError::UnknownWorker { worker: worker.clone() })?;
                Kept { lines, later: None }
            }
        };
        let lines = blocking(move || kept.lines.lines(options.tail)).await.map_err(unreadable)?;
        let lines = stream::iter(lines.into_iter().map(Ok));
        Ok(match kept.later {
            None => lines.boxed(),
            Some(later) => lines.chain(BroadcastStream::new(later).map(|line| Ok(followed(line)))).boxed(),
        })
    }
}

/// A line as it came, or a note in place of those that a slow reader missed.
fn followed(line: Result<Arc<str>, BroadcastStreamRecvError>) -> String {
    match line {
        Ok(line) => line.as_ref().to_owned(),
        Err(BroadcastStreamRecvError::Lagged(lost)) => {
            format!("[{lost} lines left out: they came faster than they were read]")
        }
    }
}

/// Runs what touches the disk where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
