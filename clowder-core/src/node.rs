//! The machines that workers run on, as a [`Backend`](crate::Backend) observes them.

use crate::model::AcceleratorRequest;
use crate::url::ModelUrl;
use crate::worker::{Worker, WorkerId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The name of a node, as its backend knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(pub String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for NodeName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a node can give to workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// Bytes of memory that workers may take, the system's own share already left out.
    pub memory: u64,
    /// Processor cores.
    pub cores: u32,
    /// Accelerators, in the node's own order.
    pub accelerators: Vec<Accelerator>,
}

impl Capacity {
    /// How many accelerators of this name there are.
    pub fn count(&self, accelerator: &str) -> u32 {
        let named = self.accelerators.iter().filter(|one| one.name == accelerator).count();
        u32::try_from(named).unwrap_or(u32::MAX)
    }
}

/// A GPU or the like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerator {
    /// Its maker's name for it.
    pub name: String,
    /// Bytes of its memory.
    pub memory: u64,
}

/// Which new workers a node takes, and whether those that it has may stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Openness {
    /// All that fit.
    Open,
    /// Those that ask for the accelerator of this name, and no others.
    Reserved(String),
    /// None for now: it does not answer, or is kept for something else. What is on it stays, since it may be back in a moment.
    Closed,
    /// None, and those that it has shall go: an administrator wants it empty.
    Cordoned,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// What it carries for selectors.
    pub labels: BTreeMap<String, String>,
    /// What it can give.
    pub capacity: Capacity,
    /// Which new workers may go there.
    pub openness: Openness,
    /// Models whose files are already on it.
    pub cached: BTreeSet<ModelUrl>,
}

impl Node {
    /// An open node of so many bytes of memory and nothing else.
    pub fn with_memory(name: impl Into<NodeName>, memory: u64) -> Self {
        Self {
            name: name.into(),
            labels: BTreeMap::new(),
            capacity: Capacity { memory, cores: 1, accelerators: Vec::new() },
            openness: Openness::Open,
            cached: BTreeSet::new(),
        }
    }

    /// Whether any new workers may go there.
    pub fn is_schedulable(&self) -> bool {
        matches!(self.openness, Openness::Open | Openness::Reserved(_))
    }

    /// Whether new workers with these accelerators may go there, as far as that is not a matter of room.
    pub fn is_open_to(&self, accelerators: Option<&AcceleratorRequest>) -> bool {
        match &self.openness {
            Openness::Open => true,
            Openness::Reserved(name) => accelerators.is_some_and(|asked| asked.name == *name),
            Openness::Closed | Openness::Cordoned => false,
        }
    }

    /// Whether its workers shall go.
    pub fn is_cordoned(&self) -> bool {
        self.openness == Openness::Cordoned
    }
}

/// All that a backend observes, at one moment. Cheap to clone: entries are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// The nodes, by name.
    pub nodes: BTreeMap<NodeName, Arc<Node>>,
    /// The workers, by id.
    pub workers: BTreeMap<WorkerId, Arc<Worker>>,
}

impl Inventory {
    /// Bytes of a node's memory that no worker has been promised.
    pub fn free_memory(&self, node: &Node) -> u64 {
        let taken = self
            .workers
            .values()
            .filter(|worker| worker.node == node.name && worker.holds_memory())
            .fold(0_u64, |sum, worker| sum.saturating_add(worker.memory));
        node.capacity.memory.saturating_sub(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::WorkerState;

    #[test]
    fn whom_a_node_takes() {
        let gpu = |name: &str| AcceleratorRequest { name: name.to_owned(), count: 1 };
        let asks = [None, Some(gpu("gpu")), Some(gpu("other"))];
        let takes = |openness: Openness| {
            let node = Node { openness, ..Node::with_memory("a", 100) };
            let open = asks.each_ref().map(|asked| node.is_open_to(asked.as_ref()));
            assert_eq!(node.is_schedulable(), open.contains(&true));
            open
        };
        assert_eq!(takes(Openness::Open), [true; 3]);
        assert_eq!(takes(Openness::Reserved("gpu".to_owned())), [false, true, false]);
        assert_eq!((takes(Openness::Closed), takes(Openness::Cordoned)), ([false; 3], [false; 3]));
    }

    #[test]
    fn only_workers_that_live_or_keep_it_take_memory() {
        let node = Node::with_memory("a", 100);
        let mut inventory = Inventory::default();
        let there = [
            ("m-1-0", WorkerState::Ready, 30, false),
            ("m-1-1", WorkerState::Stopped, 50, false),
            ("m-1-2", WorkerState::Failed { reason: String::new() }, 50, false),
            ("m-1-3", WorkerState::Failed { reason: String::new() }, 5, true),
        ];
        for (id, state, memory, keeps) in there {
            let mut worker = Worker::new(id.parse().unwrap(), "m".parse().unwrap(), "a".into());
            (worker.state, worker.memory, worker.keeps_memory) = (state, memory, keeps);
            inventory.workers.insert(worker.id.clone(), Arc::new(worker));
        }
        assert_eq!(inventory.free_memory(&node), 65);
    }
}
