//! The observed state, published as whole snapshots.

use clowder_core::node::Node;
use clowder_core::{Inventory, ModelStore, ModelUrl, NodeName, Worker, WorkerId, WorkerState};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

/// The inventory of this machine and those who watch it.
pub(super) struct Board {
    node: NodeName,
    inventory: watch::Sender<Arc<Inventory>>,
}

impl Board {
    /// A machine without workers.
    pub(super) fn new(node: Node) -> Self {
        let name = node.name.clone();
        let inventory = Inventory { nodes: [(name.clone(), Arc::new(node))].into(), ..Inventory::default() };
        Self { node: name, inventory: watch::Sender::new(Arc::new(inventory)) }
    }

    /// The inventory as it is now.
    pub(super) fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory.borrow())
    }

    /// The inventory now and after every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Inventory>> {
        self.inventory.subscribe()
    }

    /// There is a new worker.
    pub(super) fn insert(&self, worker: Worker) {
        self.inventory.send_modify(|inventory| {
            Arc::make_mut(inventory).workers.insert(worker.id.clone(), Arc::new(worker));
        });
    }

    /// A worker changes, if it is there. One that is draining stays so until it stops, whatever happens to its process.
    pub(super) fn change(&self, worker: &WorkerId, change: impl FnOnce(&mut Worker)) {
        self.inventory.send_if_modified(|inventory| {
            let Some(before) = inventory.workers.get(worker) else { return false };
            let mut after = Worker::clone(before);
            change(&mut after);
            if before.state == WorkerState::Draining && after.state != WorkerState::Stopped {
                after.state = WorkerState::Draining;
            }
            if after == **before {
                return false;
            }
            Arc::make_mut(inventory).workers.insert(worker.clone(), Arc::new(after));
            true
        });
    }

    /// A worker is gone.
    pub(super) fn remove(&self, worker: &WorkerId) {
        self.inventory.send_if_modified(|inventory| Arc::make_mut(inventory).workers.remove(worker).is_some());
    }

    /// Looks which models are whole on this machine. Where that cannot be seen, what was known stays.
    pub(super) async fn observe_cache(&self, store: &dyn ModelStore) {
        match store.inventory(&self.node).await {
            Ok(models) => self.cached(models.into_iter().filter(|m| m.complete).map(|m| m.url).collect()),
            Err(error) => tracing::warn!(%error, "the models of this machine cannot be listed"),
        }
    }

    fn cached(&self, models: BTreeSet<ModelUrl>) {
        self.inventory.send_if_modified(|inventory| {
            let Some(before) = inventory.nodes.get(&self.node).filter(|node| node.cached != models) else {
                return false;
            };
            let after = Node { cached: models, ..Node::clone(before) };
            Arc::make_mut(inventory).nodes.insert(self.node.clone(), Arc::new(after));
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> (Board, WorkerId) {
        let board = Board::new(Node::with_memory("here", 100));
        let id: WorkerId = "kitten-0-0".parse().unwrap();
        board.insert(Worker::new(id.clone(), "kitten".parse().unwrap(), "here".into()));
        (board, id)
    }

    #[test]
    fn a_draining_worker_does_not_come_back() {
        let (board, id) = board();
        for (set, seen) in [
            (WorkerState::Draining, WorkerState::Draining),
            (WorkerState::Ready, WorkerState::Draining),
            (WorkerState::Stopped, WorkerState::Stopped),
        ] {
            board.change(&id, |worker| worker.state = set);
            assert_eq!(board.inventory().workers[&id].state, seen);
        }
    }

    #[test]
    fn what_changes_nothing_wakes_nobody() {
        let (board, id) = board();
        let watcher = board.subscribe();
        board.change(&id, |worker| worker.state = WorkerState::Pending);
        board.change(&"unknown".parse().unwrap(), |worker| worker.slots = 9);
        board.cached(BTreeSet::new());
        assert!(!watcher.has_changed().unwrap());
        board.cached(["builtin:kitten".parse().unwrap()].into());
        assert!(watcher.has_changed().unwrap());
    }
}
