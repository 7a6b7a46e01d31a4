//! Pods and Nodes as core's vocabulary: pure functions of what the API server says.

mod exit;
mod node;
mod quantity;
mod worker;

pub use node::node;
pub(crate) use quantity::units;
pub(crate) use worker::UNSCHEDULABLE;
pub use worker::worker;

use clowder_core::{Inventory, NodeName, Worker, WorkerId, WorkerState};
use k8s_openapi::api::core::v1::{Node, Pod};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All of it. Pods that are no workers' are left out.
pub fn inventory<'a>(pods: impl IntoIterator<Item = &'a Pod>, nodes: impl IntoIterator<Item = &'a Node>) -> Inventory {
    let nodes = nodes.into_iter().filter_map(node).map(|node| (node.name.clone(), Arc::new(node)));
    let workers = pods.into_iter().filter_map(worker).map(|worker| (worker.id.clone(), Arc::new(worker)));
    joined(&nodes.collect(), &workers.collect())
}

/// Nodes and workers as one. A worker that failed for good has a Pod that is there nonetheless, and what a Pod asks for is
/// promised until it goes: its node offers that much less.
pub(crate) fn joined(
    nodes: &BTreeMap<NodeName, Arc<clowder_core::Node>>,
    workers: &BTreeMap<WorkerId, Arc<Worker>>,
) -> Inventory {
    let mut inventory = Inventory { nodes: nodes.clone(), workers: workers.clone() };
    for worker in workers.values().filter(|worker| matches!(worker.state, WorkerState::Failed { .. })) {
        if let Some(node) = inventory.nodes.get_mut(&worker.node) {
            let capacity = &mut Arc::make_mut(node).capacity;
            capacity.memory = capacity.memory.saturating_sub(worker.memory);
        }
    }
    inventory
}
