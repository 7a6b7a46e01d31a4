//! A [`Plan`]: the difference between what is desired and what is observed, as actions on a backend.

use crate::model::ModelSpec;
use crate::node::NodeName;
use crate::worker::WorkerId;
use std::fmt;
use std::sync::Arc;

/// One step towards what is desired. Applying it twice is applying it once.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// There shall be this worker.
    Start(StartWorker),
    /// There shall not be this worker: it finishes what it has, takes nothing new and goes.
    Stop {
        /// Which.
        worker: WorkerId,
    },
}

/// A worker to be.
#[derive(Clone, Debug, PartialEq)]
pub struct StartWorker {
    /// Its name.
    pub worker: WorkerId,
    /// What it serves, and how.
    pub spec: Arc<ModelSpec>,
    /// Where.
    pub node: NodeName,
    /// Bytes of memory it is promised.
    pub memory: u64,
}

impl Action {
    /// The worker it is about.
    pub fn worker(&self) -> &WorkerId {
        match self {
            Self::Start(start) => &start.worker,
            Self::Stop { worker } => worker,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(start) => write!(f, "start {} on {}", start.worker, start.node),
            Self::Stop { worker } => write!(f, "stop {worker}"),
        }
    }
}

/// What to do now, and what could not be planned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The steps, in order: stops that make room come before the starts that need it.
    pub actions: Vec<Action>,
    /// Replicas that have no place.
    pub unplaced: Vec<Unplaced>,
}

/// Replicas without a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Unplaced {
    /// Whose.
    pub spec: Arc<ModelSpec>,
    /// How many.
    pub replicas: u32,
    /// Bytes of memory each of them needs.
    pub memory: u64,
    /// The node that they are pinned to; `None` where any would do.
    pub node: Option<NodeName>,
    /// Why, for a program.
    pub cause: Cause,
    /// Why, for a person.
    pub reason: String,
}

/// Why replicas have no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// There is no node that they may run on, or none that takes new workers.
    Node,
    /// No node that they may run on has the memory left.
    Memory,
    /// No node that they may run on has the accelerators free.
    Accelerators,
    /// What they need is on its way back, from workers that leave now or in turn.
    Leaving,
    /// Workers that stand for them were [refused](crate::Worker::refused) by their nodes, and no other node has room.
    Refused,
}
