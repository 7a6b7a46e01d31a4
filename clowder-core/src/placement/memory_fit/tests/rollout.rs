//! How a new revision takes the place of an old one.

use super::*;

fn changed(name: &str, replicas: u32, surge: Option<u32>) -> ModelSpec {
    let mut changed = spec(name, replicas);
    changed.engine.slots = Some(9);
    changed.rollout.surge = surge;
    changed
}

#[test]
fn a_new_revision_serves_before_the_old_one_goes() {
    let mut inventory = nodes(&[("a", 9 * GIB)]);
    settle(&[wanted(spec("m", 2), GIB)], &mut inventory);
    let mut changed = spec("m", 2);
    changed.engine.slots = Some(9);
    let plan = MemoryFit.plan(&[wanted(changed.clone(), GIB)], &inventory);
    assert!(plan.actions.iter().all(|action| matches!(action, Action::Start(_))), "{plan:?}");
    settle(&[wanted(changed.clone(), GIB)], &mut inventory);
    assert!(inventory.workers.values().all(|worker| worker.revision == changed.revision()));
}

#[test]
fn without_room_for_both_the_old_revision_makes_room() {
    let mut inventory = nodes(&[("a", 5 * GIB)]);
    settle(&[wanted(spec("m", 1), 4 * GIB)], &mut inventory);
    let mut changed = spec("m", 1);
    changed.engine.slots = Some(9);
    let plan = settle(&[wanted(changed.clone(), 4 * GIB)], &mut inventory);
    assert!(plan.unplaced.is_empty());
    assert_eq!(inventory.workers.values().next().unwrap().revision, changed.revision());
}

#[test]
fn old_workers_make_room_one_at_a_time() {
    let mut inventory = nodes(&[("a", 5 * GIB), ("b", 5 * GIB)]);
    settle(&[wanted(spec("m", 2), 4 * GIB)], &mut inventory);
    let mut changed = spec("m", 2);
    changed.engine.slots = Some(9);
    let changed = [wanted(changed, 4 * GIB)];
    let plan = MemoryFit.plan(&changed, &inventory);
    let [Action::Stop { worker }] = &plan.actions[..] else { panic!("{plan:?}") };
    let draining = Worker { state: WorkerState::Draining, ..Worker::clone(&inventory.workers[worker]) };
    inventory.workers.insert(worker.clone(), Arc::new(draining));
    // The other one serves until the first is gone and its successor serves.
    assert_eq!(MemoryFit.plan(&changed, &inventory).actions, []);
    inventory.workers.remove(worker);
    let plan = MemoryFit.plan(&changed, &inventory);
    assert!(matches!(&plan.actions[..], [Action::Start(_)]), "{plan:?}");
}

#[test]
fn a_change_that_fits_nowhere_stops_nobody() {
    let mut inventory = nodes(&[("a", 5 * GIB)]);
    settle(&[wanted(spec("m", 1), 4 * GIB)], &mut inventory);
    let mut changed = spec("m", 1);
    changed.engine.context = Some(1 << 20);
    let plan = MemoryFit.plan(&[wanted(changed, 40 * GIB)], &inventory);
    assert!(plan.actions.is_empty() && plan.unplaced.len() == 1, "{plan:?}");
}

#[test]
fn without_surge_an_old_one_goes_before_a_new_one_starts() {
    let mut inventory = nodes(&[("a", 20 * GIB)]);
    settle(&[wanted(spec("m", 3), GIB)], &mut inventory);
    let changed = [wanted(changed("m", 3, Some(0)), GIB)];
    for replaced in 0..3 {
        let plan = MemoryFit.plan(&changed, &inventory);
        assert!(matches!(&plan.actions[..], [Action::Stop { .. }]) && plan.unplaced.is_empty(), "{replaced}: {plan:?}");
        carry_out(&plan, &mut inventory);
        let plan = MemoryFit.plan(&changed, &inventory);
        assert!(matches!(&plan.actions[..], [Action::Start(_)]), "{replaced}: {plan:?}");
        carry_out_in(&plan, &mut inventory, &WorkerState::Starting);
        assert_eq!(MemoryFit.plan(&changed, &inventory), Plan::default(), "until it serves, the others stay");
        for worker in inventory.workers.values_mut() {
            Arc::make_mut(worker).state = WorkerState::Ready;
        }
    }
    assert_eq!(MemoryFit.plan(&changed, &inventory), Plan::default());
}

#[test]
fn a_surge_bounds_the_workers_of_both_revisions() {
    let mut inventory = nodes(&[("a", 20 * GIB)]);
    settle(&[wanted(spec("m", 4), GIB)], &mut inventory);
    let changed = [wanted(changed("m", 4, Some(2)), GIB)];
    let plan = MemoryFit.plan(&changed, &inventory);
    assert_eq!(plan.actions.iter().filter(|action| matches!(action, Action::Start(_))).count(), 2, "{plan:?}");
    carry_out(&plan, &mut inventory);
    for _ in 0..20 {
        let plan = MemoryFit.plan(&changed, &inventory);
        carry_out(&plan, &mut inventory);
        assert!(inventory.workers.len() <= 6, "{:?}", inventory.workers.keys());
    }
    assert!(inventory.workers.values().all(|worker| worker.revision == changed[0].spec.revision()));
    assert_eq!(inventory.workers.len(), 4);
}

#[test]
fn without_surge_nobody_stops_for_what_fits_nowhere() {
    let mut inventory = nodes(&[("a", 5 * GIB)]);
    settle(&[wanted(spec("m", 2), 2 * GIB)], &mut inventory);
    let plan = MemoryFit.plan(&[wanted(changed("m", 2, Some(0)), 40 * GIB)], &inventory);
    assert_eq!(plan.actions, []);
}

#[test]
fn more_replicas_start_beside_a_replacement() {
    let mut inventory = nodes(&[("a", 20 * GIB)]);
    settle(&[wanted(spec("m", 1), GIB)], &mut inventory);
    let plan = MemoryFit.plan(&[wanted(changed("m", 3, Some(0)), GIB)], &inventory);
    assert_eq!(plan.actions.iter().filter(|action| matches!(action, Action::Start(_))).count(), 2, "{plan:?}");
}
