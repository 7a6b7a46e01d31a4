use super::*;
use crate::model::ModelSpec;
use crate::node::{Node, Openness};
use crate::plan::Cause;
use std::collections::{BTreeMap, BTreeSet};

mod accelerators;
mod canary;
mod cordon;
mod priority;
mod refused;
mod rollout;
mod scale;
mod settles;
mod spread;

const GIB: u64 = 1 << 30;

fn spec(name: &str, replicas: u32) -> ModelSpec {
    let mut spec = ModelSpec::new(name.parse().unwrap(), "builtin:kitten".parse().unwrap());
    spec.replicas = replicas;
    spec
}

fn wanted(spec: ModelSpec, memory: u64) -> Wanted {
    Wanted::new(Arc::new(spec), Some(memory))
}

fn nodes(sizes: &[(&str, u64)]) -> Inventory {
    let nodes = sizes.iter().map(|&(name, memory)| (name.into(), Arc::new(Node::with_memory(name, memory))));
    Inventory { nodes: nodes.collect(), ..Inventory::default() }
}

/// Does what the plan says; workers serve at once and stopped ones vanish.
fn carry_out(plan: &Plan, inventory: &mut Inventory) {
    for action in &plan.actions {
        match action {
            Action::Start(start) => {
                let mut worker = Worker::new(start.worker.clone(), start.spec.name.clone(), start.node.clone());
                worker.revision = start.spec.revision();
                worker.memory = start.memory;
                worker.state = WorkerState::Ready;
                inventory.workers.insert(worker.id.clone(), Arc::new(worker));
            }
            Action::Stop { worker } => drop(inventory.workers.remove(worker)),
        }
    }
}

/// Does what the plan says, with each worker that starts in this state.
fn carry_out_in(plan: &Plan, inventory: &mut Inventory, state: &WorkerState) {
    let known: BTreeSet<WorkerId> = inventory.workers.keys().cloned().collect();
    carry_out(plan, inventory);
    for (_, worker) in inventory.workers.iter_mut().filter(|(id, _)| !known.contains(*id)) {
        Arc::make_mut(worker).state = state.clone();
    }
}

fn settle(wanted: &[Wanted], inventory: &mut Inventory) -> Plan {
    for _ in 0..50 {
        let plan = MemoryFit.plan(wanted, inventory);
        if plan.actions.is_empty() {
            return plan;
        }
        carry_out(&plan, inventory);
    }
    panic!("the plan does not settle: {:?}", MemoryFit.plan(wanted, inventory));
}

fn on(inventory: &Inventory, node: &str) -> usize {
    inventory.workers.values().filter(|worker| worker.node.as_str() == node).count()
}

#[test]
fn the_name_of_a_worker_that_is_gone_is_free_again() {
    let mut inventory = nodes(&[("a", 10 * GIB)]);
    let model = [wanted(spec("m", 2), GIB)];
    settle(&model, &mut inventory);
    let gone = inventory.workers.keys().next().unwrap().clone();
    Arc::make_mut(inventory.workers.get_mut(&gone).unwrap()).state = WorkerState::Stopped;
    let plan = MemoryFit.plan(&model, &inventory);
    assert_eq!(plan.actions.iter().map(Action::worker).collect::<Vec<_>>(), [&gone]);
    assert!(matches!(plan.actions[0], Action::Start(_)));
    let fewer = MemoryFit.plan(&[wanted(spec("m", 1), GIB)], &inventory);
    assert_eq!(fewer.actions, [Action::Stop { worker: gone.clone() }], "nobody takes its name");
    let forgotten = MemoryFit.plan(&[], &inventory);
    assert!(forgotten.actions.contains(&Action::Stop { worker: gone }), "{forgotten:?}");
}

#[test]
fn replicas_spread_and_fit() {
    let mut inventory = nodes(&[("a", 10 * GIB), ("b", 10 * GIB), ("c", GIB)]);
    let plan = settle(&[wanted(spec("m", 4), 4 * GIB)], &mut inventory);
    assert!(plan.unplaced.is_empty());
    assert_eq!((on(&inventory, "a"), on(&inventory, "b"), on(&inventory, "c")), (2, 2, 0));
}

#[test]
fn what_does_not_fit_is_told_with_numbers() {
    let mut inventory = nodes(&[("a", 5 * GIB)]);
    let plan = settle(&[wanted(spec("m", 2), 4 * GIB)], &mut inventory);
    assert_eq!(inventory.workers.len(), 1);
    assert_eq!(plan.unplaced[0].replicas, 1);
    assert_eq!(plan.unplaced[0].reason, "a worker needs 4.0 GiB of memory, no node has more than 1.0 GiB left");
}

#[test]
fn a_node_that_has_the_file_is_preferred() {
    let mut inventory = nodes(&[("a", 9 * GIB), ("b", 8 * GIB)]);
    let mut node = Node::with_memory("b", 8 * GIB);
    node.cached.insert("builtin:kitten".parse().unwrap());
    inventory.nodes.insert("b".into(), Arc::new(node));
    settle(&[wanted(spec("m", 1), GIB)], &mut inventory);
    assert_eq!(on(&inventory, "b"), 1);
}

#[test]
fn pins_selectors_and_closed_nodes_are_kept_to() {
    let mut inventory = nodes(&[("a", 9 * GIB), ("b", 8 * GIB)]);
    let mut pinned = spec("m", 2);
    pinned.placement.pinned = vec!["b".into(), "b".into()];
    settle(&[wanted(pinned.clone(), GIB)], &mut inventory);
    assert_eq!(on(&inventory, "b"), 2);

    pinned.placement.pinned = vec!["nowhere".into()];
    let plan = settle(&[wanted(pinned, GIB)], &mut inventory);
    assert_eq!(plan.unplaced[0].reason, "there is no node nowhere");

    let mut selected = spec("m", 1);
    selected.placement.selector.insert("gpu".into(), "yes".into());
    let plan = settle(&[wanted(selected, GIB)], &mut nodes(&[("a", GIB)]));
    assert_eq!(plan.unplaced[0].reason, "no node carries gpu=yes");

    let mut closed = Node::with_memory("a", GIB);
    closed.openness = Openness::Closed;
    let mut inventory = nodes(&[]);
    inventory.nodes.insert("a".into(), Arc::new(closed));
    let plan = settle(&[wanted(spec("m", 1), 1)], &mut inventory);
    assert_eq!(plan.unplaced[0].reason, "the nodes it may run on take no new workers");
}

#[test]
fn scaling_down_takes_the_retired_first_and_never_reuses_their_names() {
    let mut inventory = nodes(&[("a", 9 * GIB)]);
    settle(&[wanted(spec("m", 3), GIB)], &mut inventory);
    let first = inventory.workers.keys().next().unwrap().clone();
    let mut smaller = spec("m", 2);
    smaller.retire.push(first.clone());
    settle(&[wanted(smaller.clone(), GIB)], &mut inventory);
    assert_eq!(inventory.workers.len(), 2);
    assert!(!inventory.workers.contains_key(&first));
    smaller.replicas = 3;
    settle(&[wanted(smaller, GIB)], &mut inventory);
    assert_eq!(inventory.workers.len(), 3);
    assert!(!inventory.workers.contains_key(&first));
}

#[test]
fn what_nobody_wants_goes_and_the_unknown_waits() {
    let mut inventory = nodes(&[("a", 5 * GIB)]);
    settle(&[wanted(spec("m", 2), GIB)], &mut inventory);
    let unknown = Wanted::new(Arc::new(spec("n", 1)), None);
    settle(&[unknown], &mut inventory);
    assert!(inventory.workers.is_empty());
}
