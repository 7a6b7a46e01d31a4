//! What is asked of the cluster that runs on the machines.

use async_trait::async_trait;
use clowder_core::{BoxError, NodeName};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A node as the cluster tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// Whether it takes work and answers.
    pub ready: bool,
    /// Whether new Pods are kept from it.
    pub cordoned: bool,
    /// Pods on it that can be evicted; those of DaemonSets are left out.
    pub pods: u32,
}

/// How far a node is emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing is left on it that can be evicted.
    Empty,
    /// Pods are still on it.
    Waiting {
        /// How many.
        pods: u32,
    },
}

/// The cluster did not do it.
#[derive(Debug, thiserror::Error)]
#[error("the cluster {what} failed")]
pub struct ClusterError {
    /// What was being done, such as `call to list nodes`.
    pub what: String,
    /// Why.
    #[source]
    pub source: BoxError,
}

/// The nodes of the cluster that runs on the machines. All calls can be repeated.
#[async_trait]
pub trait ClusterNodes: Send + Sync {
    /// All nodes there are.
    ///
    /// # Errors
    /// [`ClusterError`] where the cluster does not answer, as it does not before its first server is up.
    async fn nodes(&self) -> Result<BTreeMap<NodeName, NodeStatus>, ClusterError>;

    /// Keeps new Pods from a node; one that is absent is fine.
    ///
    /// # Errors
    /// [`ClusterError`].
    async fn cordon(&self, node: &NodeName) -> Result<(), ClusterError>;

    /// Evicts what may be evicted now, and says what is left; it does not wait. A node that is absent is empty.
    ///
    /// # Errors
    /// [`ClusterError`].
    async fn drain(&self, node: &NodeName) -> Result<Drained, ClusterError>;

    /// Deletes a node; one that is absent is fine.
    ///
    /// # Errors
    /// [`ClusterError`].
    async fn remove(&self, node: &NodeName) -> Result<(), ClusterError>;
}

/// Nodes in memory, for tests: a cluster that answers once it has a node.
#[derive(Debug, Default)]
pub struct InMemoryNodes(Mutex<BTreeMap<NodeName, NodeStatus>>);

impl InMemoryNodes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeName, NodeStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who there is, answering or not.
    pub fn names(&self) -> Vec<NodeName> {
        self.lock().keys().cloned().collect()
    }

    /// A node joins, ready; one that is known keeps what it has.
    pub fn join(&self, node: NodeName) {
        self.lock().entry(node).or_default().ready = true;
    }

    /// A node does not answer any more.
    pub fn lose(&self, node: &NodeName) {
        if let Some(status) = self.lock().get_mut(node) {
            status.ready = false;
        }
    }

    /// So many Pods that can be evicted are on a node.
    pub fn occupy(&self, node: &NodeName, pods: u32) {
        if let Some(status) = self.lock().get_mut(node) {
            status.pods = pods;
        }
    }
}

#[async_trait]
impl ClusterNodes for InMemoryNodes {
    async fn nodes(&self) -> Result<BTreeMap<NodeName, NodeStatus>, ClusterError> {
        let nodes = self.lock().clone();
        if nodes.values().any(|node| node.ready) {
            return Ok(nodes);
        }
        Err(ClusterError { what: "call to list nodes".to_owned(), source: "nobody answers".into() })
    }

    async fn cordon(&self, node: &NodeName) -> Result<(), ClusterError> {
        if let Some(status) = self.lock().get_mut(node) {
            status.cordoned = true;
        }
        Ok(())
    }

    async fn drain(&self, node: &NodeName) -> Result<Drained, ClusterError> {
        let mut nodes = self.lock();
        let Some(status) = nodes.get_mut(node) else { return Ok(Drained::Empty) };
        // One at a time, as a disruption budget would have it.
        status.pods = status.pods.saturating_sub(1);
        Ok(if status.pods == 0 { Drained::Empty } else { Drained::Waiting { pods: status.pods } })
    }

    async fn remove(&self, node: &NodeName) -> Result<(), ClusterError> {
        self.lock().remove(node);
        Ok(())
    }
}
