//! Accelerators that a worker has for itself.

use super::*;
use crate::model::AcceleratorRequest;
use crate::node::Accelerator;

const GPU: &str = "nvidia.com/gpu";

fn with_gpus(sizes: &[(&str, usize)]) -> Inventory {
    let node = |&(name, gpus): &(&str, usize)| {
        let mut node = Node::with_memory(name, 10 * GIB);
        node.capacity.accelerators = vec![Accelerator { name: GPU.to_owned(), memory: 80 * GIB }; gpus];
        node.capacity.accelerators.push(Accelerator { name: "other".to_owned(), memory: GIB });
        (node.name.clone(), Arc::new(node))
    };
    Inventory { nodes: sizes.iter().map(node).collect(), ..Inventory::default() }
}

fn asking(name: &str, replicas: u32, count: u32) -> ModelSpec {
    let mut spec = spec(name, replicas);
    spec.placement.accelerators = Some(AcceleratorRequest { name: GPU.to_owned(), count });
    spec
}

#[test]
fn each_worker_has_its_own() {
    let mut inventory = with_gpus(&[("a", 3), ("b", 4), ("c", 0)]);
    let plan = settle(&[wanted(asking("m", 4, 2), GIB), wanted(spec("n", 1), GIB)], &mut inventory);
    assert_eq!((plan.unplaced[0].replicas, plan.unplaced[0].cause), (1, Cause::Accelerators));
    assert_eq!(plan.unplaced[0].reason, "a worker needs 2 nvidia.com/gpu, no node has them free");
    let of_m =
        |node: &str| inventory.workers.values().filter(|w| w.model.as_str() == "m" && w.node == node.into()).count();
    assert_eq!((of_m("a"), of_m("b"), of_m("c")), (1, 2, 0));
}

#[test]
fn those_of_a_worker_that_drains_are_not_free() {
    let mut inventory = with_gpus(&[("a", 1)]);
    settle(&[wanted(asking("m", 1, 1), GIB)], &mut inventory);
    let worker = inventory.workers.values_mut().next().unwrap();
    Arc::make_mut(worker).state = WorkerState::Draining;
    let plan = MemoryFit.plan(&[wanted(asking("m", 1, 1), GIB)], &inventory);
    assert_eq!((plan.actions, plan.unplaced[0].cause), (vec![], Cause::Leaving));
}

#[test]
fn memory_counts_where_accelerators_are_free() {
    let mut inventory = with_gpus(&[("a", 1), ("b", 0)]);
    settle(&[wanted(spec("n", 1), 9 * GIB)], &mut inventory);
    let plan = settle(&[wanted(spec("n", 1), 9 * GIB), wanted(asking("m", 1, 1), 2 * GIB)], &mut inventory);
    assert_eq!(plan.unplaced[0].reason, "a worker needs 2.0 GiB of memory, no node has more than 1.0 GiB left");
}

#[test]
fn a_rollout_and_a_higher_priority_free_them() {
    let mut inventory = with_gpus(&[("a", 1)]);
    settle(&[wanted(asking("m", 1, 1), GIB)], &mut inventory);
    let mut changed = asking("m", 1, 1);
    changed.engine.slots = Some(9);
    settle(&[wanted(changed.clone(), GIB)], &mut inventory);
    assert_eq!(inventory.workers.values().next().unwrap().revision, changed.revision());

    let mut first = asking("first", 1, 1);
    first.priority = 1;
    let plan = settle(&[wanted(changed, GIB), wanted(first, GIB)], &mut inventory);
    assert_eq!(plan.unplaced[0].reason, "its accelerators are taken by models of higher priority");
    assert_eq!(inventory.workers.values().next().unwrap().model.as_str(), "first");
}
