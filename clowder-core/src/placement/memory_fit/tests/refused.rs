//! Workers that their nodes have no room for, for what others than workers have there.

use super::canary::{revision, serving, starts, trial};
use super::*;

fn refuse(inventory: &mut Inventory, worker: &WorkerId) {
    let worker = Arc::make_mut(inventory.workers.get_mut(worker).unwrap());
    (worker.state, worker.refused) = (WorkerState::Backoff { reason: "no room".to_owned(), retry_at_ms: 0 }, true);
}

/// Carries out plans that start one worker each, which is refused; returns the nodes that were tried.
fn try_all(wanted: &[Wanted], inventory: &mut Inventory) -> (Vec<NodeName>, Plan) {
    let mut tried = Vec::new();
    for _ in 0..20 {
        let plan = MemoryFit.plan(wanted, inventory);
        let [Action::Start(start)] = &plan.actions[..] else { return (tried, plan) };
        tried.push(start.node.clone());
        carry_out(&plan, inventory);
        refuse(inventory, &start.worker);
    }
    panic!("it does not settle: {tried:?}");
}

#[test]
fn another_node_is_tried_and_the_first_not_again() {
    let mut inventory = nodes(&[("a", 9 * GIB), ("b", 8 * GIB), ("c", GIB)]);
    let model = [wanted(spec("m", 1), 2 * GIB)];
    let (tried, plan) = try_all(&model, &mut inventory);
    assert_eq!(tried, ["a".into(), "b".into()]);
    assert_eq!((plan.actions, plan.unplaced.len()), (vec![], 1));
    let Unplaced { cause, reason, .. } = &plan.unplaced[0];
    assert_eq!(*cause, Cause::Refused);
    assert_eq!(reason, "no room (nodes that refused a worker: 2; others have no room or are not tried)");
    // Whichever is taken, the other one goes.
    let mut ids = inventory.workers.keys().cloned();
    let (first, second) = (ids.next().unwrap(), ids.next().unwrap());
    let worker = Arc::make_mut(inventory.workers.get_mut(&first).unwrap());
    (worker.state, worker.refused) = (WorkerState::Ready, false);
    assert_eq!(MemoryFit.plan(&model, &inventory).actions, [Action::Stop { worker: second }]);
}

#[test]
fn what_no_node_takes_is_not_tried_on_all_of_them() {
    let names: Vec<String> = (0..30).map(|n| format!("n{n}")).collect();
    let sizes: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), GIB)).collect();
    let mut inventory = nodes(&sizes);
    let (tried, plan) = try_all(&[wanted(spec("m", 1), GIB)], &mut inventory);
    assert_eq!((tried.len(), plan.unplaced[0].replicas), (5, 1));
    let asleep = Wanted { spare: 1, ..wanted(spec("m", 1), GIB) };
    assert_eq!(MemoryFit.plan(&[asleep], &inventory).actions.len(), 5, "nobody asks for it any more");
}

#[test]
fn nobody_goes_for_it() {
    let mut inventory = nodes(&[("a", 9 * GIB), ("b", 4 * GIB)]);
    let low = wanted(spec("low", 1), 4 * GIB);
    let mut elsewhere = nodes(&[("b", 4 * GIB)]);
    settle(std::slice::from_ref(&low), &mut elsewhere);
    inventory.workers = elsewhere.workers;
    let mut high = spec("high", 1);
    high.priority = 1;
    let (tried, plan) = try_all(&[wanted(high, 4 * GIB), low], &mut inventory);
    assert_eq!((tried, plan.actions), (vec!["a".into()], vec![]));
    assert_eq!(plan.unplaced[0].cause, Cause::Refused);
}

#[test]
fn a_rollout_that_is_refused_stops_no_more_of_the_old_ones() {
    let mut inventory = nodes(&[("a", 4 * GIB), ("b", 4 * GIB), ("c", 4 * GIB)]);
    settle(&[wanted(spec("m", 2), 4 * GIB)], &mut inventory);
    let mut changed = spec("m", 2);
    changed.engine.slots = Some(9);
    let (tried, plan) = try_all(&[wanted(changed, 4 * GIB)], &mut inventory);
    assert_eq!((tried.len(), plan.actions), (1, vec![]));
    assert_eq!(inventory.workers.values().filter(|worker| worker.state == WorkerState::Ready).count(), 2);
}

#[test]
fn those_on_trial_take_nothing_away_and_hold_nothing_up() {
    let mut inventory = nodes(&[("a", 9 * GIB), ("b", 9 * GIB)]);
    settle(&[wanted(trial(4, 1, None), GIB)], &mut inventory);
    let (tried, plan) = try_all(&[wanted(trial(4, 1, Some((25, 2))), GIB)], &mut inventory);
    assert_eq!((tried.len(), plan.actions, serving(&inventory, [1, 2])), (2, vec![], [4, 0]));
    let Unplaced { spec, cause, replicas, .. } = &plan.unplaced[0];
    assert_eq!((spec.revision(), *cause, *replicas), (revision(2), Cause::Refused, 1));
    settle(&[wanted(trial(4, 3, Some((25, 2))), GIB)], &mut inventory);
    assert_eq!(serving(&inventory, [3, 1]), [3, 1], "one stands in for the one on trial");
    settle(&[wanted(trial(4, 3, None), GIB)], &mut inventory);
    assert_eq!((serving(&inventory, [3, 1]), inventory.workers.len()), ([4, 0], 4), "they go with the trial");
}

#[test]
fn a_node_that_refused_the_models_own_may_have_those_on_trial() {
    let mut inventory = nodes(&[("a", 9 * GIB)]);
    let model = [wanted(trial(1, 1, Some((50, 2))), GIB)];
    let (own, on_trial) = (0, 1);
    let plan = MemoryFit.plan(&model, &inventory);
    assert_eq!(starts(&plan), [revision(1), revision(2)]);
    carry_out(&plan, &mut inventory);
    refuse(&mut inventory, plan.actions[own].worker());
    let plan_then = MemoryFit.plan(&model, &inventory);
    assert_eq!((plan_then.actions.len(), plan_then.unplaced[0].spec.revision()), (0, revision(1)));
    inventory.workers.remove(plan.actions[on_trial].worker());
    assert_eq!(starts(&MemoryFit.plan(&model, &inventory)), [revision(2)]);
}

#[test]
fn one_on_trial_that_is_pinned_and_refused_is_waited_for_by_nobody() {
    let mut inventory = nodes(&[("a", GIB), ("b", GIB)]);
    let pinned = |own| {
        let mut spec = trial(2, own, Some((50, 2)));
        spec.placement.pinned = vec!["a".into(), "b".into()];
        [wanted(spec, GIB)]
    };
    settle(&pinned(1), &mut inventory);
    let on_trial = inventory.workers.values().find(|worker| worker.revision == revision(2)).unwrap().id.clone();
    let worker = Arc::make_mut(inventory.workers.get_mut(&on_trial).unwrap());
    (worker.state, worker.refused) = (WorkerState::Pending, true);
    settle(&pinned(3), &mut inventory);
    assert_eq!(serving(&inventory, [3, 1]), [1, 0]);
}

#[test]
fn one_that_is_pinned_waits_there() {
    let mut inventory = nodes(&[("a", 4 * GIB), ("b", 4 * GIB)]);
    let mut pinned = spec("m", 1);
    pinned.placement.pinned = vec!["a".into()];
    let (tried, plan) = try_all(&[wanted(pinned.clone(), GIB)], &mut inventory);
    assert_eq!((tried, plan), (vec!["a".into()], Plan::default()));
    (pinned.replicas, pinned.placement.pinned) = (2, vec!["a".into(); 2]);
    let plan = MemoryFit.plan(&[wanted(pinned, GIB)], &inventory);
    assert_eq!((plan.actions, plan.unplaced[0].cause), (vec![], Cause::Refused));
}

#[test]
fn what_a_failed_worker_keeps_goes_to_a_higher_priority() {
    let mut inventory = nodes(&[("a", 4 * GIB)]);
    let low = wanted(spec("low", 1), 4 * GIB);
    settle(std::slice::from_ref(&low), &mut inventory);
    let first = inventory.workers.keys().next().unwrap().clone();
    let mut set = |state: WorkerState| {
        let worker = Arc::make_mut(inventory.workers.get_mut(&first).unwrap());
        (worker.state, worker.keeps_memory) = (state, true);
        inventory.clone()
    };
    let mut high = spec("high", 1);
    high.priority = 1;
    let both = [low, wanted(high, 4 * GIB)];
    let stop = [Action::Stop { worker: first.clone() }];
    let failed = set(WorkerState::Failed { reason: String::new() });
    assert_eq!(MemoryFit.plan(&both, &failed).actions, stop);
    assert_eq!(MemoryFit.plan(&both[..1], &failed), Plan::default(), "it waits for another spec");
    // What is gone is asked for nothing, and waited for.
    let plan = MemoryFit.plan(&both, &set(WorkerState::Stopped));
    assert_eq!((&plan.actions[..], plan.unplaced[0].cause), (&stop[..], Cause::Leaving));
}
