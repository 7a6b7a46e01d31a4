//! Whatever is wanted: the plan comes to an end, on the way to which no promise is broken.

use super::*;
use crate::model::{AcceleratorRequest, Canary, EngineSettings, Revision};
use crate::node::{Accelerator, Openness};
use proptest::prelude::*;

/// A model, in small numbers.
#[derive(Clone, Debug)]
struct Sketch {
    replicas: u32,
    memory: u64,
    priority: i32,
    spare: u32,
    revision: u32,
    surge: Option<u32>,
    /// The weight, the revision and the memory of what is on trial.
    canary: Option<(u8, u32, u64)>,
    gpus: Option<u32>,
    spread: bool,
    pinned: Option<usize>,
}

/// What an administrator says of the nodes, one after the other; what is not said of is open.
fn openness() -> impl Strategy<Value = Vec<Openness>> {
    let one = prop_oneof![
        4 => Just(Openness::Open),
        1 => Just(Openness::Reserved("gpu".to_owned())),
        1 => Just(Openness::Closed),
        3 => Just(Openness::Cordoned),
    ];
    prop::collection::vec(one, 4)
}

fn others() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![3 => Just(0), 2 => 1_u64..6], 4)
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let some = || proptest::option::of(0_u32..2);
    let canary = proptest::option::of((1_u8..100, 0_u32..3, 1_u64..6));
    let counts = (0_u32..5, 1_u64..6, -1_i32..2, 0_u32..3);
    (counts, 0_u32..2, some(), canary, some(), any::<bool>(), 0_usize..12).prop_map(
        |((replicas, memory, priority, spare), revision, surge, canary, gpus, spread, pin)| {
            let pinned = (pin < 4).then_some(pin);
            Sketch { replicas, memory, priority, spare, revision, surge, canary, gpus, spread, pinned }
        },
    )
}

fn drawn(sketches: &[Sketch]) -> Vec<Wanted> {
    let draw = |(i, sketch): (usize, &Sketch)| {
        let mut spec = spec(&format!("m{i}"), sketch.replicas);
        spec.priority = sketch.priority;
        spec.engine.slots = Some(sketch.revision + 1);
        spec.rollout.surge = sketch.surge;
        let canary = sketch.canary.filter(|(_, revision, _)| *revision != sketch.revision);
        spec.rollout.canary = canary.map(|(weight, revision, _)| Canary {
            weight,
            engine: EngineSettings { slots: Some(revision + 1), ..EngineSettings::default() },
        });
        spec.placement.accelerators = sketch.gpus.map(|count| AcceleratorRequest { name: "gpu".to_owned(), count });
        spec.placement.spread = sketch.spread.then(|| "zone".to_owned());
        spec.placement.pinned.extend(sketch.pinned.map(|node| NodeName(format!("n{node}"))));
        let mut wanted = Wanted { spare: sketch.spare, ..wanted(spec, sketch.memory) };
        wanted.trial.iter_mut().for_each(|trial| trial.memory = canary.map(|(.., memory)| memory));
        wanted
    };
    sketches.iter().enumerate().map(draw).collect()
}

fn cluster(sizes: &[(u64, usize)]) -> Inventory {
    let node = |(i, &(memory, gpus)): (usize, &(u64, usize))| {
        let mut node = Node::with_memory(format!("n{i}").as_str(), memory);
        node.labels.insert("zone".to_owned(), (i % 2).to_string());
        node.capacity.accelerators = vec![Accelerator { name: "gpu".to_owned(), memory: 1 }; gpus];
        (node.name.clone(), Arc::new(node))
    };
    Inventory { nodes: sizes.iter().enumerate().map(node).collect(), ..Inventory::default() }
}

fn open(inventory: &mut Inventory, openness: &[Openness]) {
    for (node, openness) in inventory.nodes.values_mut().zip(openness) {
        Arc::make_mut(node).openness = openness.clone();
    }
}

fn is_cordoned(inventory: &Inventory, worker: &Worker) -> bool {
    inventory.nodes[&worker.node].is_cordoned()
}

/// What others than workers have of each node's memory.
type Others = BTreeMap<NodeName, u64>;

/// Whether a worker waits for its node to take it.
fn asks(worker: &Worker) -> bool {
    worker.refused || worker.state == WorkerState::Pending
}

/// Whether its node takes a worker that asks.
fn is_taken(inventory: &Inventory, others: &Others, worker: &Worker) -> bool {
    let has = |other: &&Arc<Worker>| other.node == worker.node && !asks(other) && other.holds_memory();
    let taken: u64 = inventory.workers.values().filter(has).map(|other| other.memory).sum();
    others[&worker.node] + taken + worker.memory <= inventory.nodes[&worker.node].capacity.memory
}

/// Nodes take the workers that ask, or refuse them for now.
fn answer(inventory: &mut Inventory, others: &Others, pace: &mut impl Iterator<Item = bool>) {
    let asking: Vec<WorkerId> = inventory.workers.values().filter(|w| asks(w)).map(|w| w.id.clone()).collect();
    for id in asking {
        let is_taken = is_taken(inventory, others, &inventory.workers[&id]);
        let changes = is_taken || !inventory.workers[&id].refused;
        if !changes || !pace.next().unwrap() {
            continue;
        }
        let worker = Arc::make_mut(inventory.workers.get_mut(&id).unwrap());
        worker.state = match is_taken {
            false => WorkerState::Backoff { reason: "no room".to_owned(), retry_at_ms: 0 },
            true if pace.next().unwrap() || pace.next().unwrap() => WorkerState::Ready,
            true => WorkerState::Failed { reason: String::new() },
        };
        (worker.refused, worker.keeps_memory) = (!is_taken, is_taken);
    }
}

/// Workers come up and drain in their own time: one more of those on their way arrives where `pace` says so.
fn pass(plan: &Plan, inventory: &mut Inventory, others: &Others, pace: &mut impl Iterator<Item = bool>) {
    for action in &plan.actions {
        match action {
            Action::Start(start) => {
                let mut worker = Worker::new(start.worker.clone(), start.spec.name.clone(), start.node.clone());
                (worker.revision, worker.memory) = (start.spec.revision(), start.memory);
                inventory.workers.insert(worker.id.clone(), Arc::new(worker));
            }
            Action::Stop { worker } => {
                let worker = Arc::make_mut(inventory.workers.get_mut(worker).unwrap());
                (worker.state, worker.refused) = (WorkerState::Draining, false);
            }
        }
    }
    inventory.workers.retain(|_, worker| worker.state != WorkerState::Draining || !pace.next().unwrap());
    answer(inventory, others, pace);
}

/// The revisions that a model shall run under, with the replicas there shall be of each and those that are needed.
fn shares(wanted: &Wanted) -> Vec<(Revision, usize, usize)> {
    let Wanted { spec, trial, .. } = wanted;
    let [all, needed] = [spec.replicas, wanted.needed()].map(|replicas| spec.rollout.shares(replicas));
    let own = (spec.revision(), all.own as usize, needed.own as usize);
    let trial = trial.iter().map(|trial| (trial.spec.revision(), all.trial as usize, needed.trial as usize));
    std::iter::once(own).chain(trial).collect()
}

fn live<'i>(inventory: &'i Inventory, spec: &'i ModelSpec) -> impl Iterator<Item = &'i Arc<Worker>> {
    inventory.workers.values().filter(|worker| worker.model == spec.name && worker.state.is_live())
}

/// Runs until nothing more happens, with a look at each state.
fn run(wanted: &[Wanted], inventory: &mut Inventory, others: &Others, pace: &mut impl Iterator<Item = bool>) -> Plan {
    for _ in 0..400 {
        let plan = MemoryFit.plan(wanted, inventory);
        let on_the_way = |worker: &Arc<Worker>| match worker.state {
            WorkerState::Pending | WorkerState::Draining => true,
            _ => worker.refused && is_taken(inventory, others, worker),
        };
        if plan.actions.is_empty() && !inventory.workers.values().any(on_the_way) {
            return plan;
        }
        assert_nobody_needed_goes_from_the_first(wanted, inventory, &plan);
        // One that was refused may be taken whenever that is, whatever the surge.
        let refused: BTreeSet<WorkerId> =
            inventory.workers.values().filter(|worker| worker.refused).map(|worker| worker.id.clone()).collect();
        let counted = |inventory: &Inventory, spec| -> Vec<Revision> {
            let counts = |worker: &&Arc<Worker>| !worker.refused && !refused.contains(&worker.id);
            live(inventory, spec).filter(counts).map(|worker| worker.revision).collect()
        };
        let before: Vec<usize> = wanted.iter().map(|wanted| counted(inventory, &wanted.spec).len()).collect();
        pass(&plan, inventory, others, pace);
        for node in inventory.nodes.values() {
            let here = || inventory.workers.values().filter(|worker| worker.node == node.name);
            assert!(here().map(|worker| worker.memory).sum::<u64>() <= node.capacity.memory, "memory of {}", node.name);
        }
        for (wanted, before) in wanted.iter().zip(before) {
            let (spec, shares, now) = (&wanted.spec, shares(wanted), counted(inventory, &wanted.spec));
            let of = |revision| now.iter().filter(|counted| **counted == revision).count();
            let replaces = shares.iter().any(|&(revision, replicas, _)| of(revision) > replicas)
                || live(inventory, spec).any(|worker| {
                    shares.iter().all(|&(revision, ..)| worker.revision != revision)
                        || (spec.placement.pinned.is_empty() && is_cordoned(inventory, worker))
                });
            let (now, replicas) = (now.len(), shares.iter().map(|&(_, replicas, _)| replicas).sum::<usize>());
            if let Some(surge) = spec.rollout.surge.filter(|_| replaces) {
                assert!(now <= before.max(replicas + surge as usize), "{}: {now} after {before}", spec.name);
            }
        }
    }
    panic!("the plan does not settle: {:?}", MemoryFit.plan(wanted, inventory));
}

/// The models of the highest priority make room for nobody. A pinned one may move its own, and a surge those on cordoned
/// nodes.
fn assert_nobody_needed_goes_from_the_first(wanted: &[Wanted], inventory: &Inventory, plan: &Plan) {
    let highest = wanted.iter().map(|wanted| wanted.spec.priority).max();
    let first = |wanted: &&Wanted| Some(wanted.spec.priority) == highest && wanted.spec.placement.pinned.is_empty();
    let shares =
        wanted.iter().filter(first).flat_map(|first| shares(first).into_iter().map(move |share| (first, share)));
    for (first, (revision, _, needed)) in shares {
        let serves = |worker: &&Arc<Worker>| {
            let stays = first.spec.rollout.surge.is_none() || !is_cordoned(inventory, worker);
            worker.revision == revision && worker.state == WorkerState::Ready && stays
        };
        let stopped: BTreeSet<&WorkerId> = plan.actions.iter().map(Action::worker).collect();
        let (go, stay): (Vec<_>, Vec<_>) =
            live(inventory, &first.spec).filter(serves).partition(|worker| stopped.contains(&worker.id));
        assert!(stay.len() >= needed.min(go.len() + stay.len()), "{}: {plan:?}", first.spec.name);
    }
}

/// Bytes of a node's memory that a model of this priority could have.
fn within_reach(wanted: &[Wanted], inventory: &Inventory, node: &Node, priority: i32) -> u64 {
    let lower = |worker: &&Arc<Worker>| {
        let of = wanted.iter().find(|wanted| wanted.spec.name == worker.model);
        worker.node == node.name && of.is_some_and(|wanted| wanted.spec.priority < priority)
    };
    inventory.free_memory(node) + inventory.workers.values().filter(lower).map(|worker| worker.memory).sum::<u64>()
}

proptest! {
    #[test]
    fn always(
        sizes in prop::collection::vec((0_u64..10, 0_usize..3), 1..5),
        phases in prop::collection::vec((prop::collection::vec(sketch(), 0..5), openness(), others()), 1..4),
        pace in prop::collection::vec(any::<bool>(), 32).prop_filter("time goes on", |pace| pace.contains(&true)),
    ) {
        let (mut inventory, mut pace) = (cluster(&sizes), pace.into_iter().cycle());
        for (phase, openness, others) in phases {
            open(&mut inventory, &openness);
            let others = inventory.nodes.keys().cloned().zip(others).collect();
            let wanted = drawn(&phase);
            let plan = run(&wanted, &mut inventory, &others, &mut pace);
            for model in &wanted {
                let spec = &model.spec;
                let may_stay =
                    |worker: &&Arc<Worker>| !spec.placement.pinned.is_empty() || !is_cordoned(&inventory, worker);
                let shares = shares(model);
                let is_refused =
                    |worker: &&Arc<Worker>| worker.refused && !spec.placement.pinned.contains(&worker.node);
                let (refused, stay): (Vec<_>, Vec<_>) = live(&inventory, spec).partition(is_refused);
                let of = |workers: &[&Arc<Worker>], revision| workers.iter().filter(|w| w.revision == revision).count();
                let is_wanted = |worker: &&Arc<Worker>| shares.iter().any(|&(revision, ..)| worker.revision == revision);
                let (current, moving): (Vec<_>, Vec<_>) =
                    stay.iter().copied().filter(is_wanted).partition(may_stay);
                let failed = current.iter().filter(|worker| worker.state != WorkerState::Ready).count();
                let unplaced: Vec<&Unplaced> = plan.unplaced.iter().filter(|u| u.spec.name == spec.name).collect();
                let lacking: usize = unplaced.iter().map(|unplaced| unplaced.replicas as usize).sum();
                // A replacement that comes to nothing holds back what its surge does, and says no more than its workers do.
                let replaces = current.len() < stay.len()
                    || shares.iter().any(|&(revision, replicas, _)| of(&current, revision) > replicas);
                let stalls = replaces && (failed > 0 || !refused.is_empty());
                for &(revision, replicas, needed) in &shares {
                    let [current, moving, refused] = [&current, &moving, &refused].map(|workers| of(workers, revision));
                    let of_these = unplaced.iter().filter(|unplaced| unplaced.spec.revision() == revision);
                    let own_lacking: usize = of_these.map(|unplaced| unplaced.replicas as usize).sum();
                    prop_assert!(stalls || current + own_lacking >= needed, "{}: {current} {own_lacking}", spec.name);
                    prop_assert!(stalls || current + moving <= replicas + lacking - own_lacking);
                    prop_assert!(stalls || moving <= lacking, "{}: {moving} stay without a reason", spec.name);
                    prop_assert!(stalls || refused == 0 || own_lacking + failed > 0, "{}: refused for nobody", spec.name);
                }
                let replicas: usize = shares.iter().map(|&(_, replicas, _)| replicas).sum();
                prop_assert!(stay.len() - failed <= replicas);
                let refuses = |revision, node: &Node| {
                    live(&inventory, spec).any(|w| w.refused && w.revision == revision && w.node == node.name)
                };
                for unplaced in unplaced.iter().filter(|u| u.cause == Cause::Memory && u.node.is_none()) {
                    let gpus = spec.placement.accelerators.as_ref().map_or(0, |asked| asked.count);
                    for node in inventory.nodes.values().filter(|node| {
                        gpus == 0
                            && node.is_open_to(spec.placement.accelerators.as_ref())
                            && !refuses(unplaced.spec.revision(), node)
                    }) {
                        let reach = within_reach(&wanted, &inventory, node, spec.priority);
                        prop_assert!(reach < unplaced.memory, "{} lacks what {} has", spec.name, node.name);
                    }
                }
                for unplaced in unplaced.iter().filter(|u| u.cause == Cause::Refused) {
                    let revision = unplaced.spec.revision();
                    prop_assert!(live(&inventory, spec).any(|w| w.refused && w.revision == revision));
                    let is_open = |node: &&Arc<Node>| node.is_open_to(None) && !refuses(revision, node);
                    let asks_none = spec.placement.accelerators.is_none();
                    for node in inventory.nodes.values().filter(|node| asks_none && is_open(node)) {
                        let free = inventory.free_memory(node);
                        prop_assert!(stalls || free < unplaced.memory, "{} was not tried on {}", spec.name, node.name);
                    }
                }
            }
        }
    }
}
