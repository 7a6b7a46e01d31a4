//! Settings on trial: how a trial begins, changes and ends, and what it never costs.

use super::*;
use crate::model::{Canary, EngineSettings, Revision};
use proptest::prelude::*;

/// Engine settings that make a revision of their own.
fn engine(slots: u32) -> EngineSettings {
    EngineSettings { slots: Some(slots), ..EngineSettings::default() }
}

/// A model under some settings, with others on trial.
pub(super) fn trial(replicas: u32, own: u32, canary: Option<(u8, u32)>) -> ModelSpec {
    let mut spec = spec("m", replicas);
    spec.engine = engine(own);
    spec.rollout.canary = canary.map(|(weight, slots)| Canary { weight, engine: engine(slots) });
    spec
}

pub(super) fn revision(slots: u32) -> Revision {
    trial(1, slots, None).revision()
}

/// Workers that serve, under each of two settings.
pub(super) fn serving(inventory: &Inventory, slots: [u32; 2]) -> [usize; 2] {
    let serves = |worker: &&Arc<Worker>| worker.state == WorkerState::Ready;
    slots.map(|slots| {
        inventory.workers.values().filter(serves).filter(|worker| worker.revision == revision(slots)).count()
    })
}

fn names(inventory: &Inventory, slots: u32) -> BTreeSet<WorkerId> {
    let of = inventory.workers.values().filter(|worker| worker.revision == revision(slots));
    of.map(|worker| worker.id.clone()).collect()
}

pub(super) fn starts(plan: &Plan) -> Vec<Revision> {
    let start = |action: &Action| match action {
        Action::Start(start) => Some(start.spec.revision()),
        Action::Stop { .. } => None,
    };
    plan.actions.iter().filter_map(start).collect()
}

fn set_state(inventory: &mut Inventory, slots: u32, state: &WorkerState) {
    for worker in inventory.workers.values_mut().filter(|worker| worker.revision == revision(slots)) {
        Arc::make_mut(worker).state = state.clone();
    }
}

#[test]
fn it_begins_grows_and_ends_with_nobody_missing() {
    let mut inventory = nodes(&[("a", 30 * GIB)]);
    settle(&[wanted(trial(10, 1, None), GIB)], &mut inventory);
    for (canary, expected) in [(Some((10, 2)), [9, 1]), (Some((50, 2)), [5, 5]), (Some((20, 2)), [8, 2])] {
        let model = [wanted(trial(10, 1, canary), GIB)];
        let plan = MemoryFit.plan(&model, &inventory);
        assert!(plan.actions.iter().all(|action| matches!(action, Action::Start(_))), "{canary:?}: {plan:?}");
        settle(&model, &mut inventory);
        assert_eq!(serving(&inventory, [1, 2]), expected);
    }
    settle(&[wanted(trial(10, 1, Some((20, 3))), GIB)], &mut inventory);
    assert_eq!((serving(&inventory, [1, 3]), inventory.workers.len()), ([8, 2], 10), "other settings on trial");
    let own = names(&inventory, 1);
    settle(&[wanted(trial(10, 1, None), GIB)], &mut inventory);
    assert_eq!(serving(&inventory, [1, 3]), [10, 0]);
    assert!(names(&inventory, 1).is_superset(&own), "who ran as wanted stays");
}

#[test]
fn beside_a_single_replica_it_is_one_more() {
    let mut inventory = nodes(&[("a", 2 * GIB)]);
    let model = [wanted(trial(1, 1, Some((10, 2))), GIB)];
    settle(&model, &mut inventory);
    assert_eq!(serving(&inventory, [1, 2]), [1, 1]);
    let asleep = [Wanted { spare: 1, ..model[0].clone() }];
    assert_eq!(MemoryFit.plan(&asleep, &inventory), Plan::default(), "both linger");
    settle(&[wanted(trial(0, 1, Some((10, 2))), GIB)], &mut inventory);
    assert!(inventory.workers.is_empty());
    let plan = settle(&asleep, &mut inventory);
    assert!(inventory.workers.is_empty() && plan.unplaced.is_empty(), "who lingers does not come back");
}

#[test]
fn those_on_trial_stay_when_their_settings_become_the_models_own() {
    for replicas in [1, 4] {
        let mut inventory = nodes(&[("a", 30 * GIB)]);
        settle(&[wanted(trial(replicas, 1, Some((25, 2))), GIB)], &mut inventory);
        let on_trial = names(&inventory, 2);
        settle(&[wanted(trial(replicas, 2, None), GIB)], &mut inventory);
        assert_eq!(serving(&inventory, [1, 2]), [0, replicas as usize]);
        assert!(names(&inventory, 2).is_superset(&on_trial));
    }
}

#[test]
fn one_that_fails_takes_nothing_away() {
    let mut inventory = nodes(&[("a", 30 * GIB)]);
    settle(&[wanted(trial(4, 1, None), GIB)], &mut inventory);
    let model = [wanted(trial(4, 1, Some((25, 2))), GIB)];
    carry_out(&MemoryFit.plan(&model, &inventory), &mut inventory);
    for state in [
        WorkerState::Starting,
        WorkerState::Backoff { reason: String::new(), retry_at_ms: 0 },
        WorkerState::Failed { reason: String::new() },
    ] {
        set_state(&mut inventory, 2, &state);
        assert_eq!((MemoryFit.plan(&model, &inventory), inventory.workers.len()), (Plan::default(), 5), "{state:?}");
    }
    // The model's own settings may change all the same.
    let changed = [wanted(trial(4, 3, Some((25, 2))), GIB)];
    settle(&changed, &mut inventory);
    assert_eq!(serving(&inventory, [3, 1]), [3, 1], "one stands in for the one on trial");
    settle(&[wanted(trial(4, 3, None), GIB)], &mut inventory);
    assert_eq!((serving(&inventory, [3, 1]), inventory.workers.len()), ([4, 0], 4));
}

#[test]
fn without_room_one_of_the_models_own_makes_room_and_no_more_while_it_fails() {
    let mut inventory = nodes(&[("a", 4 * GIB)]);
    settle(&[wanted(trial(4, 1, None), GIB)], &mut inventory);
    let model = [wanted(trial(4, 1, Some((50, 2))), GIB)];
    let plan = MemoryFit.plan(&model, &inventory);
    assert!(matches!(&plan.actions[..], [Action::Stop { .. }]), "{plan:?}");
    carry_out(&plan, &mut inventory);
    let plan = MemoryFit.plan(&model, &inventory);
    assert_eq!(starts(&plan), [revision(2)]);
    carry_out(&plan, &mut inventory);
    set_state(&mut inventory, 2, &WorkerState::Backoff { reason: String::new(), retry_at_ms: 0 });
    let plan = MemoryFit.plan(&model, &inventory);
    assert_eq!((plan.actions.len(), serving(&inventory, [1, 2])), (0, [3, 0]));
    assert_eq!(plan.unplaced[0].reason, "it waits for a worker of another revision to make room");
    set_state(&mut inventory, 2, &WorkerState::Ready);
    settle(&model, &mut inventory);
    assert_eq!(serving(&inventory, [1, 2]), [2, 2]);
}

#[test]
fn without_room_one_is_replaced_at_a_time_whichever_it_is_for() {
    let ready = |inventory: &mut Inventory| {
        let starting = inventory.workers.values_mut().filter(|worker| worker.state == WorkerState::Starting);
        starting.for_each(|worker| Arc::make_mut(worker).state = WorkerState::Ready);
    };
    let both = [wanted(trial(2, 3, Some((50, 2))), GIB)];
    let mut inventory = nodes(&[("a", 2 * GIB)]);
    settle(&[wanted(trial(2, 1, None), GIB)], &mut inventory);
    for expected in [revision(3), revision(2)] {
        let plan = MemoryFit.plan(&both, &inventory);
        assert!(matches!(&plan.actions[..], [Action::Stop { .. }]), "{plan:?}");
        carry_out(&plan, &mut inventory);
        let plan = MemoryFit.plan(&both, &inventory);
        assert_eq!((plan.actions.len(), starts(&plan)), (1, vec![expected]));
        carry_out_in(&plan, &mut inventory, &WorkerState::Starting);
        assert_eq!(MemoryFit.plan(&both, &inventory).actions, [], "the other one serves meanwhile");
        let changed = [wanted(trial(2, 4, Some((50, 2))), GIB)];
        assert!(expected == revision(3) || MemoryFit.plan(&changed, &inventory).actions.is_empty());
        ready(&mut inventory);
    }
    assert_eq!(serving(&inventory, [3, 2]), [1, 1]);
}

#[test]
fn what_fits_nowhere_on_trial_stops_nobody() {
    let mut inventory = nodes(&[("a", 4 * GIB)]);
    settle(&[wanted(trial(4, 1, None), GIB)], &mut inventory);
    let mut model = wanted(trial(4, 1, Some((25, 2))), GIB);
    model.trial.as_mut().unwrap().memory = Some(9 * GIB);
    let plan = MemoryFit.plan(std::slice::from_ref(&model), &inventory);
    assert_eq!((plan.actions.len(), plan.unplaced[0].spec.revision()), (0, revision(2)));
    model.trial.as_mut().unwrap().memory = None;
    assert_eq!(MemoryFit.plan(&[model], &inventory), Plan::default(), "its size is not known yet");
}

#[test]
fn its_own_replicas_come_first_where_memory_is_short() {
    let mut inventory = nodes(&[("a", GIB)]);
    let plan = settle(&[wanted(trial(1, 1, Some((99, 2))), GIB)], &mut inventory);
    assert_eq!(serving(&inventory, [1, 2]), [1, 0]);
    assert_eq!(plan.unplaced[0].spec.revision(), revision(2));
}

#[test]
fn a_surge_bounds_it_like_any_rollout() {
    let mut inventory = nodes(&[("a", 30 * GIB)]);
    settle(&[wanted(trial(4, 1, None), GIB)], &mut inventory);
    let mut spec = trial(4, 1, Some((50, 2)));
    spec.rollout.surge = Some(0);
    let model = [wanted(spec, GIB)];
    for _ in 0..10 {
        carry_out(&MemoryFit.plan(&model, &inventory), &mut inventory);
        assert!((3..=4).contains(&inventory.workers.len()), "{:?}", inventory.workers.keys());
    }
    assert_eq!(serving(&inventory, [1, 2]), [2, 2]);
}

#[test]
fn the_last_pins_are_for_those_on_trial() {
    let on = |inventory: &Inventory, slots| {
        let of = inventory.workers.values().filter(|worker| worker.revision == revision(slots));
        of.map(|worker| worker.node.to_string()).collect::<Vec<_>>()
    };
    let mut inventory = nodes(&[("a", 9 * GIB), ("b", 9 * GIB)]);
    let mut pinned = trial(2, 1, Some((50, 2)));
    pinned.placement.pinned = vec!["a".into(), "b".into()];
    settle(&[wanted(pinned, GIB)], &mut inventory);
    assert_eq!((on(&inventory, 1), on(&inventory, 2)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    let mut single = trial(1, 1, Some((50, 2)));
    single.placement.pinned = vec!["a".into()];
    settle(&[wanted(single, GIB)], &mut inventory);
    assert_eq!((on(&inventory, 1), on(&inventory, 2)), (vec!["a".to_owned()], vec!["a".to_owned()]));
}

#[test]
fn on_a_cordoned_node_it_moves_as_the_others_do() {
    let mut inventory = nodes(&[("a", 9 * GIB)]);
    let model = [wanted(trial(2, 1, Some((50, 2))), GIB)];
    settle(&model, &mut inventory);
    Arc::make_mut(inventory.nodes.get_mut(&"a".into()).unwrap()).openness = Openness::Cordoned;
    assert_eq!(MemoryFit.plan(&model, &inventory).actions, [], "nowhere to go");
    inventory.nodes.extend(nodes(&[("b", 9 * GIB)]).nodes);
    let plan = MemoryFit.plan(&model, &inventory);
    assert_eq!(starts(&plan).len(), plan.actions.len(), "{plan:?}");
    settle(&model, &mut inventory);
    assert_eq!((serving(&inventory, [1, 2]), on(&inventory, "a")), ([1, 1], 0));
}

/// Settings under which no worker ever serves.
const BROKEN: u32 = 3;

proptest! {
    /// However settings come on trial, change, fail, become the model's own or go: where there is room, as many serve at each
    /// moment as did before, or as are asked for.
    #[test]
    fn what_serves_is_never_less(
        phases in prop::collection::vec((1_u32..7, 1_u32..3, proptest::option::of((1_u8..100, 1_u32..=BROKEN))), 1..6),
        pace in prop::collection::vec(any::<bool>(), 16).prop_filter("time goes on", |pace| pace.contains(&true)),
    ) {
        let (mut inventory, mut pace) = (nodes(&[("a", 100 * GIB)]), pace.into_iter().cycle());
        for (replicas, own, canary) in phases {
            let canary = canary.filter(|(_, slots)| *slots != own);
            let model = [wanted(trial(replicas, own, canary), GIB)];
            let ready = |inventory: &Inventory| {
                inventory.workers.values().filter(|worker| worker.state == WorkerState::Ready).count()
            };
            let least = ready(&inventory).min(replicas as usize);
            let mut rounds = 0;
            loop {
                let plan = MemoryFit.plan(&model, &inventory);
                let waits = inventory.workers.values().any(|worker| worker.state == WorkerState::Pending);
                if plan.actions.is_empty() && !waits {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds < 300, "it does not settle: {plan:?}");
                carry_out_in(&plan, &mut inventory, &WorkerState::Pending);
                for worker in inventory.workers.values_mut().filter(|worker| worker.state == WorkerState::Pending) {
                    if pace.next().unwrap() {
                        Arc::make_mut(worker).state = match worker.revision == revision(BROKEN) {
                            true => WorkerState::Failed { reason: String::new() },
                            false => WorkerState::Ready,
                        };
                    }
                }
                prop_assert!(ready(&inventory) >= least, "{} of {least}: {plan:?}", ready(&inventory));
            }
            let shares = model[0].spec.rollout.shares(replicas);
            let [of_own, of_trial] = serving(&inventory, [own, canary.map_or(0, |(_, slots)| slots)]);
            if canary.is_none_or(|(_, slots)| slots != BROKEN) {
                prop_assert_eq!((of_own, of_trial), (shares.own as usize, shares.trial as usize));
                prop_assert_eq!(inventory.workers.len(), shares.total() as usize);
            } else {
                prop_assert!(of_own >= shares.own as usize && of_trial == 0);
            }
        }
    }
}
