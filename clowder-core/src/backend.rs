//! `Backend`: what runs workers.

use crate::node::Inventory;
use crate::plan::Action;
use crate::worker::WorkerId;
use crate::{BoxError, BoxStream};
use async_trait::async_trait;
use std::sync::Arc;

/// Which lines of a worker's log to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The last so many lines; `None` gives all that are kept.
    pub tail: Option<usize>,
    /// Whether to go on with lines as they come.
    pub follow: bool,
}

/// What runs workers: child processes of this machine, Pods of a cluster, servers that somebody else runs.
///
/// Why is there no call-back for "worker ready"? Everything is learnt by observation: [`watch`](Self::watch) hands out
/// whole snapshots, so a missed one costs nothing and a restart of the observer needs no replay.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Nodes and workers as they are now.
    ///
    /// # Errors
    /// [`BackendError::Unreachable`] where it cannot be observed; never an empty inventory instead.
    async fn inventory(&self) -> Result<Arc<Inventory>, BackendError>;

    /// Accepts an action and returns; its effect shows in the inventory. Applying an action again changes nothing, also
    /// after a restart of the caller; starting a worker that is draining is [`BackendError::Busy`], and so is any
    /// other start that must wait for the worker's former self to be gone.
    ///
    /// # Errors
    /// [`BackendError`]; an action refused leaves everything as it was.
    async fn apply(&self, action: &Action) -> Result<(), BackendError>;

    /// The inventory now and after every change of it. Changes close together may come as one snapshot; the last state
    /// always comes. The stream ends with the backend.
    fn watch(&self) -> BoxStream<Arc<Inventory>>;

    /// The lines that a worker's processes wrote, oldest first, without line ends.
    ///
    /// # Errors
    /// [`BackendError::UnknownWorker`] where nothing is kept of such a worker.
    async fn logs(
        &self,
        worker: &WorkerId,
        options: LogOptions,
    ) -> Result<BoxStream<Result<String, BackendError>>, BackendError>;
}

#[async_trait]
impl<T: Backend + ?Sized> Backend for Arc<T> {
    async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
        T::inventory(self).await
    }

    async fn apply(&self, action: &Action) -> Result<(), BackendError> {
        T::apply(self, action).await
    }

    fn watch(&self) -> BoxStream<Arc<Inventory>> {
        T::watch(self)
    }

    async fn logs(
        &self,
        worker: &WorkerId,
        options: LogOptions,
    ) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
        T::logs(self, worker, options).await
    }
}

/// Why a backend did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// It runs no such worker.
    #[error("there is no worker {worker}")]
    UnknownWorker {
        /// Which.
        worker: WorkerId,
    },
    /// It has no such node.
    #[error("there is no node {node}")]
    UnknownNode {
        /// Which.
        node: crate::NodeName,
    },
    /// The action must wait for another to end.
    #[error("worker {worker} is still on its way out")]
    Busy {
        /// Which.
        worker: WorkerId,
    },
    /// The backend refuses the action as it is.
    #[error("worker {worker} is refused: {reason}")]
    Refused {
        /// Which.
        worker: WorkerId,
        /// Why, for a person.
        reason: String,
    },
    /// The backend cannot be reached, or its machine does not do what it is asked.
    #[error("the backend {what} failed")]
    Unreachable {
        /// What was being done.
        what: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}
