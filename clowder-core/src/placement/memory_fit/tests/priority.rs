//! Who goes so that another has room.

use super::*;

fn of_priority(name: &str, replicas: u32, priority: i32) -> ModelSpec {
    let mut spec = spec(name, replicas);
    spec.priority = priority;
    spec
}

fn lingering(spec: ModelSpec, memory: u64, spare: u32) -> Wanted {
    Wanted { spare, ..wanted(spec, memory) }
}

/// The models of the workers on a node.
fn models_on(inventory: &Inventory, node: &str) -> Vec<String> {
    let mut models: Vec<String> =
        inventory.workers.values().filter(|w| w.node.as_str() == node).map(|w| w.model.to_string()).collect();
    models.sort();
    models
}

#[test]
fn a_higher_priority_takes_the_place_of_a_lower_one() {
    let mut inventory = nodes(&[("a", 5 * GIB)]);
    let low = wanted(of_priority("low", 1, 0), 4 * GIB);
    settle(std::slice::from_ref(&low), &mut inventory);
    // Whatever the order: who comes first is the model's to say.
    let both = [low, wanted(of_priority("high", 1, 1), 3 * GIB)];
    let plan = MemoryFit.plan(&both, &inventory);
    assert!(matches!(&plan.actions[..], [Action::Stop { .. }]), "{plan:?}");
    let causes: Vec<Cause> = plan.unplaced.iter().map(|unplaced| unplaced.cause).collect();
    assert_eq!(causes, [Cause::Leaving, Cause::Memory]);
    let plan = settle(&both, &mut inventory);
    assert_eq!(models_on(&inventory, "a"), ["high"]);
    assert_eq!(plan.unplaced[0].reason, "its memory is taken by models of higher priority");
}

#[test]
fn nobody_goes_for_an_equal_or_where_it_does_not_help() {
    let mut inventory = nodes(&[("a", 5 * GIB), ("b", 2 * GIB)]);
    let first = wanted(of_priority("first", 1, 3), 4 * GIB);
    settle(std::slice::from_ref(&first), &mut inventory);
    for (priority, memory) in [(3, 4 * GIB), (2, 4 * GIB), (9, 6 * GIB)] {
        let plan = MemoryFit.plan(&[first.clone(), wanted(of_priority("m", 1, priority), memory)], &inventory);
        assert_eq!((plan.actions, plan.unplaced.len()), (vec![], 1), "{priority} {memory}");
    }
}

#[test]
fn what_leaves_is_promised() {
    // The low one would fit into what is free beside the one that drains, and would have to go again.
    let mut inventory = nodes(&[("a", 6 * GIB)]);
    let low = wanted(of_priority("low", 1, 0), 3 * GIB);
    settle(std::slice::from_ref(&low), &mut inventory);
    let both = [wanted(of_priority("high", 1, 1), 5 * GIB), low];
    let plan = MemoryFit.plan(&both, &inventory);
    let [Action::Stop { worker }] = &plan.actions[..] else { panic!("{plan:?}") };
    Arc::make_mut(inventory.workers.get_mut(worker).unwrap()).state = WorkerState::Draining;
    let plan = MemoryFit.plan(&both, &inventory);
    assert_eq!(plan.actions, []);
    assert_eq!(plan.unplaced[0].reason, "it waits for the memory of workers that are on their way out");
}

#[test]
fn the_least_valuable_and_the_fewest_go() {
    let mut inventory = nodes(&[("a", 4 * GIB), ("b", 4 * GIB), ("c", 4 * GIB)]);
    let pinned = |name: &str, priority: i32, node: &str, replicas: u32, memory: u64| {
        let mut spec = of_priority(name, replicas, priority);
        spec.placement.pinned = vec![node.into(); replicas as usize];
        wanted(spec, memory)
    };
    let there = [
        pinned("middle", 1, "a", 1, 4 * GIB),
        pinned("many", 0, "b", 4, GIB),
        pinned("few", 0, "c", 1, GIB),
        pinned("large", 0, "c", 1, 3 * GIB),
    ];
    settle(&there, &mut inventory);
    let high = wanted(of_priority("high", 1, 2), 3 * GIB);
    let all = [&there[..], &[high]].concat();
    settle(&all, &mut inventory);
    assert_eq!(models_on(&inventory, "a"), ["middle"]);
    assert_eq!(models_on(&inventory, "b"), ["many"; 4]);
    assert_eq!(models_on(&inventory, "c"), ["few", "high"]);
}

#[test]
fn a_pinned_replica_clears_its_node() {
    let mut inventory = nodes(&[("a", 4 * GIB), ("b", 4 * GIB)]);
    let mut low = of_priority("low", 1, 0);
    low.placement.pinned = vec!["b".into()];
    let low = wanted(low, 4 * GIB);
    settle(std::slice::from_ref(&low), &mut inventory);
    let mut high = of_priority("high", 1, 1);
    high.placement.pinned = vec!["b".into()];
    settle(&[wanted(high, 4 * GIB), low], &mut inventory);
    assert_eq!((models_on(&inventory, "a"), models_on(&inventory, "b")), (vec![], vec!["high".to_owned()]));
}

#[test]
fn who_must_go_finds_another_place_at_once() {
    let mut inventory = nodes(&[("a", 8 * GIB), ("b", 4 * GIB)]);
    let low = wanted(of_priority("low", 1, 0), 2 * GIB);
    settle(std::slice::from_ref(&low), &mut inventory);
    assert_eq!(on(&inventory, "a"), 1);
    let plan = settle(&[wanted(of_priority("high", 1, 1), 7 * GIB), low], &mut inventory);
    assert!(plan.unplaced.is_empty());
    assert_eq!(
        (models_on(&inventory, "a"), models_on(&inventory, "b")),
        (vec!["high".to_owned()], vec!["low".to_owned()])
    );
}

#[test]
fn one_that_wakes_takes_the_memory_of_one_that_lingers() {
    let mut inventory = nodes(&[("a", 4 * GIB), ("b", 4 * GIB)]);
    settle(&[wanted(of_priority("m", 2, 5), 4 * GIB)], &mut inventory);
    let both = [lingering(of_priority("m", 2, 5), 4 * GIB, 1), wanted(spec("waking", 2), 4 * GIB)];
    let plan = settle(&both, &mut inventory);
    let of = |model: &str| inventory.workers.values().filter(|worker| worker.model.as_str() == model).count();
    assert_eq!((of("m"), of("waking")), (1, 1), "what is needed stays");
    assert_eq!(plan.unplaced[0].spec.name.as_str(), "waking");
    assert_eq!(MemoryFit.plan(&both[..1], &inventory).unplaced, [], "who lingers does not come back");
}

#[test]
fn those_that_linger_go_before_those_that_are_needed() {
    let mut inventory = nodes(&[("a", 4 * GIB), ("b", 4 * GIB)]);
    let low = wanted(of_priority("low", 1, 0), 4 * GIB);
    settle(&[low.clone(), wanted(of_priority("idle", 1, 1), 4 * GIB)], &mut inventory);
    let all = [low, lingering(of_priority("idle", 1, 1), 4 * GIB, 1), wanted(of_priority("high", 1, 1), 4 * GIB)];
    settle(&all, &mut inventory);
    let models: BTreeSet<&str> = inventory.workers.values().map(|worker| worker.model.as_str()).collect();
    assert_eq!(models, BTreeSet::from(["high", "low"]));
}

#[test]
fn a_rollout_takes_nobodys_place() {
    let mut inventory = nodes(&[("a", 4 * GIB), ("b", 4 * GIB)]);
    let low = wanted(of_priority("low", 1, 0), 4 * GIB);
    let mut high = of_priority("high", 1, 1);
    settle(&[low.clone(), wanted(high.clone(), 4 * GIB)], &mut inventory);
    high.engine.slots = Some(9);
    let plan = MemoryFit.plan(&[low, wanted(high, 4 * GIB)], &inventory);
    let [Action::Stop { worker }] = &plan.actions[..] else { panic!("{plan:?}") };
    assert_eq!(inventory.workers[worker].model.as_str(), "high");
}
