//! For [`Placement`]: the suite.

use crate::model::ModelSpec;
use crate::node::{Inventory, Node};
use crate::placement::{Placement, Wanted};
use crate::plan::Action;
use crate::worker::{Worker, WorkerState};
use std::sync::Arc;

/// The suite.
///
/// # Panics
/// Where the placement does not keep to the trait's word.
pub fn conformance(placement: &dyn Placement) {
    let node = Node::with_memory("a", 100);
    let mut inventory = Inventory { nodes: [(node.name.clone(), Arc::new(node))].into(), ..Inventory::default() };
    let wanted = |replicas| {
        let mut spec = ModelSpec::new("m".parse().expect("a name"), "builtin:m".parse().expect("a URL"));
        spec.replicas = replicas;
        [Wanted { spec: Arc::new(spec), memory: Some(30) }]
    };

    let plan = placement.plan(&wanted(2), &inventory);
    assert_eq!(plan, placement.plan(&wanted(2), &inventory), "the same arguments, the same plan");
    assert!(plan.unplaced.is_empty(), "two of 30 fit into 100");
    assert_eq!(plan.actions.len(), 2);
    for action in &plan.actions {
        let Action::Start(start) = action else { panic!("only starts: {action}") };
        let mut worker = Worker::new(start.worker.clone(), start.spec.name.clone(), start.node.clone());
        (worker.revision, worker.memory, worker.state) = (start.spec.revision(), start.memory, WorkerState::Ready);
        inventory.workers.insert(worker.id.clone(), Arc::new(worker));
    }
    assert_eq!(inventory.workers.len(), 2, "names differ");
    assert!(placement.plan(&wanted(2), &inventory).actions.is_empty(), "reached: nothing to do");
    let more = placement.plan(&wanted(9), &inventory);
    assert_eq!(more.actions.len(), 1, "one more fits");
    assert_eq!(more.unplaced.iter().map(|unplaced| unplaced.replicas).sum::<u32>(), 6, "the others are told");
    let fewer = placement.plan(&wanted(1), &inventory);
    assert!(matches!(fewer.actions.as_slice(), [Action::Stop { .. }]), "{fewer:?}");
    let none = placement.plan(&[], &inventory);
    assert_eq!(none.actions.len(), 2, "what nobody wants goes");
    let unknown = [Wanted { memory: None, ..wanted(3)[0].clone() }];
    assert!(placement.plan(&unknown, &inventory).actions.is_empty(), "nothing starts while its size is not known");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::MemoryFit;

    #[test]
    fn memory_fit_conforms() {
        conformance(&Arc::new(MemoryFit));
    }
}
