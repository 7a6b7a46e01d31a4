//! Nodes that an administrator wants empty, and those that are kept for some.

use super::*;
use crate::model::AcceleratorRequest;

fn set(inventory: &mut Inventory, node: &str, openness: Openness) {
    Arc::make_mut(inventory.nodes.get_mut(&node.into()).unwrap()).openness = openness;
}

fn set_state(inventory: &mut Inventory, worker: &WorkerId, state: WorkerState) {
    Arc::make_mut(inventory.workers.get_mut(worker).unwrap()).state = state;
}

/// One worker on a node that is cordoned then.
fn cordoned(model: &Wanted, others: &[(&str, u64)]) -> (WorkerId, Inventory) {
    let mut inventory = nodes(&[("a", 9 * GIB)]);
    settle(std::slice::from_ref(model), &mut inventory);
    set(&mut inventory, "a", Openness::Cordoned);
    inventory.nodes.extend(nodes(others).nodes);
    (inventory.workers.keys().next().unwrap().clone(), inventory)
}

#[test]
fn its_workers_serve_until_others_do() {
    let model = [wanted(spec("m", 1), GIB)];
    let (first, mut inventory) = cordoned(&model[0], &[("b", 9 * GIB)]);
    let plan = MemoryFit.plan(&model, &inventory);
    let [Action::Start(start)] = &plan.actions[..] else { panic!("{plan:?}") };
    assert_eq!((start.node.as_str(), plan.unplaced.len()), ("b", 0));
    let second = start.worker.clone();
    carry_out(&plan, &mut inventory);
    for state in [WorkerState::Pending, WorkerState::Starting, WorkerState::Failed { reason: String::new() }] {
        set_state(&mut inventory, &second, state);
        assert_eq!(MemoryFit.plan(&model, &inventory), Plan::default());
    }
    set_state(&mut inventory, &second, WorkerState::Ready);
    assert_eq!(MemoryFit.plan(&model, &inventory).actions, [Action::Stop { worker: first.clone() }]);
    set(&mut inventory, "a", Openness::Open);
    set_state(&mut inventory, &second, WorkerState::Starting);
    assert_eq!(MemoryFit.plan(&model, &inventory).actions, [Action::Stop { worker: second }], "it was changed back");
}

#[test]
fn one_that_does_not_serve_yet_stays_only_where_nothing_else_serves() {
    let model = spec("m", 1);
    let (first, mut inventory) = cordoned(&wanted(model.clone(), GIB), &[]);
    set_state(&mut inventory, &first, WorkerState::Starting);
    let plan = MemoryFit.plan(&[wanted(model.clone(), GIB)], &inventory);
    assert_eq!((plan.actions, plan.unplaced[0].cause), (vec![], Cause::Node));
    let mut old = Worker::new("m-0-0".parse().unwrap(), model.name.clone(), "a".into());
    old.state = WorkerState::Ready;
    inventory.workers.insert(old.id.clone(), Arc::new(old));
    let plan = MemoryFit.plan(&[wanted(model, GIB)], &inventory);
    assert_eq!(plan.actions, [Action::Stop { worker: first }], "the earlier revision serves");
}

#[test]
fn a_lower_priority_makes_room_and_an_equal_one_does_not() {
    for (priority, place) in [(0, "a"), (1, "b")] {
        let mut high = spec("high", 1);
        high.priority = priority;
        let high = wanted(high, 4 * GIB);
        let (_, mut inventory) = cordoned(&high, &[("b", 5 * GIB)]);
        let both = [high, wanted(spec("low", 1), 4 * GIB)];
        inventory.workers.extend({
            let mut elsewhere = nodes(&[("b", 5 * GIB)]);
            settle(&both[1..], &mut elsewhere);
            elsewhere.workers
        });
        settle(&both, &mut inventory);
        let high = inventory.workers.values().find(|worker| worker.model.as_str() == "high").unwrap();
        assert_eq!(high.node.as_str(), place);
    }
}

#[test]
fn nobody_is_started_for_one_that_lingers_or_is_retired() {
    let mut retiring = spec("m", 1);
    let (first, inventory) = cordoned(&wanted(retiring.clone(), GIB), &[("b", GIB)]);
    let lingers = Wanted { spare: 1, ..wanted(retiring.clone(), GIB) };
    let stop = [Action::Stop { worker: first.clone() }];
    assert_eq!(MemoryFit.plan(&[lingers], &inventory).actions, stop);
    (retiring.replicas, retiring.retire) = (0, vec![first]);
    assert_eq!(MemoryFit.plan(&[wanted(retiring, GIB)], &inventory).actions, stop);
}

#[test]
fn those_that_replace_do_not_linger_while_others_are_replaced() {
    // One of two is needed. The one that stays is no spare one because another serves on a node that is left.
    let (_, mut inventory) = cordoned(&wanted(spec("m", 1), 4 * GIB), &[("b", 4 * GIB)]);
    let two = [wanted(spec("m", 2), 4 * GIB)];
    set(&mut inventory, "a", Openness::Closed);
    settle(&two, &mut inventory);
    set(&mut inventory, "a", Openness::Cordoned);
    let needs_one = Wanted { spare: 1, ..two[0].clone() };
    settle(&[wanted(spec("other", 1), 4 * GIB), needs_one], &mut inventory);
    let there: Vec<_> = inventory.workers.values().map(|w| (w.model.as_str(), w.node.as_str())).collect();
    assert_eq!(there, [("m", "b")]);
}

#[test]
fn a_replica_pinned_elsewhere_is_no_reason_to_stay() {
    let mut model = spec("m", 1);
    let (_, mut inventory) = cordoned(&wanted(model.clone(), GIB), &[("b", 9 * GIB)]);
    model.replicas = 2;
    model.placement.pinned = vec!["nowhere".into()];
    let plan = settle(&[wanted(model, GIB)], &mut inventory);
    assert_eq!((on(&inventory, "a"), on(&inventory, "b")), (0, 1));
    assert_eq!(plan.unplaced[0].reason, "there is no node nowhere");
}

#[test]
fn a_rollout_leaves_it_too() {
    let (_, mut inventory) = cordoned(&wanted(spec("m", 1), 4 * GIB), &[("b", 5 * GIB)]);
    let mut changed = spec("m", 1);
    changed.engine.slots = Some(9);
    settle(&[wanted(changed.clone(), 4 * GIB)], &mut inventory);
    let there = inventory.workers.values().next().unwrap();
    assert_eq!((there.node.as_str(), there.revision, inventory.workers.len()), ("b", changed.revision(), 1));
}

#[test]
fn a_node_kept_for_accelerators_is_told_as_such() {
    let mut inventory = nodes(&[("a", GIB)]);
    set(&mut inventory, "a", Openness::Reserved("gpu".to_owned()));
    let plan = settle(&[wanted(spec("m", 1), 1)], &mut inventory);
    assert_eq!(plan.unplaced[0].cause, Cause::Node);
    assert_eq!(plan.unplaced[0].reason, "the nodes it may run on take only models that ask for their accelerators");
    let mut asks = spec("m", 1);
    asks.placement.accelerators = Some(AcceleratorRequest { name: "gpu".to_owned(), count: 1 });
    let plan = settle(&[wanted(asks, 1)], &mut inventory);
    assert_eq!(plan.unplaced[0].cause, Cause::Accelerators);
}
