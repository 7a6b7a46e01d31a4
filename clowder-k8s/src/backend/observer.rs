//! Follows Pods and Nodes, and publishes what they are as inventories.

use crate::mirror::{Events, Mirror, Reading, events};
use crate::names::worker_selector;
use crate::observe;
use clowder_core::node::NodeName;
use clowder_core::{BackendError, BoxStream, Inventory, Worker, WorkerId, chain};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::runtime::watcher::{self, Config, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::WatchStream;
use tokio_util::task::AbortOnDropHandle;

/// The least time between two inventories: thousands of Pods that start at once change thousands of times.
const PACE: Duration = Duration::from_millis(50);
/// How long the first look at a cluster may take.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// What is observed; the observation ends with it.
pub(super) struct Observer {
    inventory: watch::Receiver<Option<Arc<Inventory>>>,
    trouble: watch::Receiver<Option<String>>,
    _follower: AbortOnDropHandle<()>,
}

/// The cluster has not been looked at yet.
#[derive(Debug, thiserror::Error)]
enum NotYet {
    #[error("no answer from the API server within {FIRST_LOOK:?}")]
    Silence,
    #[error("{0}")]
    Trouble(String),
}

impl Observer {
    pub(super) fn spawn(pods: Api<Pod>, nodes: Api<Node>) -> Self {
        let pods = events(pods, Config::default().labels(&worker_selector()));
        Self::of(pods, events(nodes, Config::default()))
    }

    fn of(pods: Events<Pod>, nodes: Events<Node>) -> Self {
        let (inventories, inventory) = watch::channel(None);
        let (troubles, trouble) = watch::channel(None);
        let follower = Follower {
            workers: Mirror::new(Reading { key: worker_id, value: observe::worker }),
            nodes: Mirror::new(Reading { key: node_name, value: observe::node }),
            inventories,
            troubles,
        };
        Self { inventory, trouble, _follower: AbortOnDropHandle::new(tokio::spawn(follower.follow(pods, nodes))) }
    }

    /// The state last heard of; waits for the first.
    pub(super) async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
        let mut receiver = self.inventory.clone();
        let first = tokio::time::timeout(FIRST_LOOK, receiver.wait_for(Option::is_some)).await;
        if let Ok(Ok(inventory)) = first
            && let Some(inventory) = inventory.as_ref()
        {
            return Ok(Arc::clone(inventory));
        }
        let trouble = self.trouble.borrow().clone();
        let source = trouble.map_or(NotYet::Silence, NotYet::Trouble).into();
        Err(BackendError::Unreachable { what: "observation of Pods and Nodes".to_owned(), source })
    }

    pub(super) fn watch(&self) -> BoxStream<Arc<Inventory>> {
        WatchStream::new(self.inventory.clone()).filter_map(|inventory| async { inventory }).boxed()
    }
}

fn worker_id(pod: &Pod) -> Option<WorkerId> {
    pod.metadata.name.as_deref()?.parse().ok()
}

fn node_name(node: &Node) -> Option<NodeName> {
    node.metadata.name.clone().map(NodeName)
}

struct Follower {
    workers: Mirror<Pod, WorkerId, Worker>,
    nodes: Mirror<Node, NodeName, clowder_core::Node>,
    inventories: watch::Sender<Option<Arc<Inventory>>>,
    troubles: watch::Sender<Option<String>>,
}

impl Follower {
    async fn follow(mut self, mut pods: Events<Pod>, mut nodes: Events<Node>) {
        let (mut news, mut not_before) = (false, Instant::now());
        loop {
            let due = news && self.workers.is_complete() && self.nodes.is_complete();
            tokio::select! {
                Some(events) = pods.next() => news |= take(&mut self.workers, events, &self.troubles, "Pods"),
                Some(events) = nodes.next() => news |= take(&mut self.nodes, events, &self.troubles, "Nodes"),
                () = sleep_until(not_before), if due => {
                    let inventory = Inventory { nodes: self.nodes.entries().clone(), workers: self.workers.entries().clone() };
                    self.inventories.send_replace(Some(Arc::new(inventory)));
                    (news, not_before) = (false, Instant::now() + PACE);
                }
                else => return,
            }
        }
    }
}

/// Takes events in; says whether there is anything new.
fn take<R, K: Ord, V: PartialEq>(
    mirror: &mut Mirror<R, K, V>,
    events: Vec<watcher::Result<Event<R>>>,
    troubles: &watch::Sender<Option<String>>,
    kind: &str,
) -> bool {
    let mut news = false;
    for event in events {
        match event {
            Ok(event) => {
                news |= mirror.take(event);
                troubles.send_if_modified(|trouble| trouble.take().is_some());
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "{kind} cannot be watched now; what was last heard of them stands");
                troubles.send_replace(Some(error));
            }
        }
    }
    news
}

#[cfg(test)]
mod tests;
