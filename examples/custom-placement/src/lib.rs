#![doc = include_str!("../README.md")]

use clowder_core::node::Openness;
use clowder_core::placement::{Placement, Wanted};
use clowder_core::{Inventory, Node, Plan};
use std::sync::Arc;

/// Places as `P` does, but starts nothing on nodes that carry a label.
#[derive(Clone, Debug)]
pub struct KeepFree<P> {
    inner: P,
    label: (String, String),
}

impl<P> KeepFree<P> {
    /// Keeps the nodes with the label `key=value` free.
    pub fn new(inner: P, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { inner, label: (key.into(), value.into()) }
    }

    /// The inventory as the wrapped placement is shown it.
    fn shown(&self, inventory: &Inventory) -> Inventory {
        let (key, value) = &self.label;
        let mut shown = inventory.clone();
        let is_kept = |node: &Node| node.is_schedulable() && node.labels.get(key) == Some(value);
        for node in shown.nodes.values_mut().filter(|node| is_kept(node)) {
            Arc::make_mut(node).openness = Openness::Closed;
        }
        shown
    }
}

impl<P: Placement> Placement for KeepFree<P> {
    fn plan(&self, wanted: &[Wanted], inventory: &Inventory) -> Plan {
        self.inner.plan(wanted, &self.shown(inventory))
    }
}
