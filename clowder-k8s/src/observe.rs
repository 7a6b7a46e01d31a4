//! Pods and Nodes as core's vocabulary: pure functions of what the API server says.

mod exit;
mod node;
mod quantity;
mod worker;

pub use node::node;
pub(crate) use quantity::units;
pub(crate) use worker::UNSCHEDULABLE;
pub use worker::worker;

use clowder_core::Inventory;
use k8s_openapi::api::core::v1::{Node, Pod};
use std::sync::Arc;

/// All of it. Pods that are no workers' are left out.
pub fn inventory<'a>(pods: impl IntoIterator<Item = &'a Pod>, nodes: impl IntoIterator<Item = &'a Node>) -> Inventory {
    let nodes = nodes.into_iter().filter_map(node).map(|node| (node.name.clone(), Arc::new(node)));
    let workers = pods.into_iter().filter_map(worker).map(|worker| (worker.id.clone(), Arc::new(worker)));
    Inventory { nodes: nodes.collect(), workers: workers.collect() }
}
