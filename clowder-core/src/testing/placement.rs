//! For [`Placement`]: the suite.

use crate::model::{AcceleratorRequest, Canary, EngineSettings, ModelSpec};
use crate::node::{Accelerator, Inventory, Node, Openness};
use crate::placement::{Placement, Wanted};
use crate::plan::{Action, Plan};
use crate::worker::{Worker, WorkerState};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rounds after which a plan that still changes will not settle.
const ROUNDS: usize = 50;

/// The suite.
///
/// # Panics
/// Where the placement does not keep to the trait's word.
pub fn conformance(placement: &dyn Placement) {
    counts(placement);
    rules(placement);
    accelerators(placement);
    priorities(placement);
    lingering(placement);
    replacement(placement);
    cordoned(placement);
    refused(placement);
    trial(placement);
}

/// As many as asked for, as far as memory goes.
fn counts(placement: &dyn Placement) {
    let mut inventory = nodes([Node::with_memory("a", 100)]);
    let wanted = |replicas| [wanted("m", replicas, 30, |_| ())];
    let plan = placement.plan(&wanted(2), &inventory);
    assert_eq!(plan, placement.plan(&wanted(2), &inventory), "the same arguments, the same plan");
    assert!(plan.unplaced.is_empty(), "two of 30 fit into 100");
    assert_eq!(plan.actions.len(), 2);
    assert!(plan.actions.iter().all(|action| matches!(action, Action::Start(_))), "only starts: {plan:?}");
    carry_out(&plan, &mut inventory);
    assert_eq!(inventory.workers.len(), 2, "names differ");
    assert!(placement.plan(&wanted(2), &inventory).actions.is_empty(), "reached: nothing to do");
    let more = placement.plan(&wanted(9), &inventory);
    assert_eq!(more.actions.len(), 1, "one more fits");
    assert_eq!(unplaced(&more, "m"), 6, "the others are told");
    let fewer = placement.plan(&wanted(1), &inventory);
    assert!(matches!(fewer.actions.as_slice(), [Action::Stop { .. }]), "{fewer:?}");
    let none = placement.plan(&[], &inventory);
    assert_eq!(none.actions.len(), 2, "what nobody wants goes");
    let unknown = [Wanted { memory: None, ..wanted(3)[0].clone() }];
    assert!(placement.plan(&unknown, &inventory).actions.is_empty(), "nothing starts while its size is not known");
}

/// Only where the rules allow.
fn rules(placement: &dyn Placement) {
    let mut closed = Node::with_memory("closed", 100);
    closed.openness = Openness::Closed;
    let mut labelled = Node::with_memory("labelled", 100);
    labelled.labels.insert("disk".to_owned(), "fast".to_owned());
    let mut inventory = nodes([closed, labelled, Node::with_memory("plain", 100)]);
    let models = [
        wanted("selects", 2, 10, |spec| drop(spec.placement.selector.insert("disk".to_owned(), "fast".to_owned()))),
        wanted("pinned", 2, 10, |spec| spec.placement.pinned = vec!["plain".into(); 2]),
        wanted("shut", 1, 10, |spec| spec.placement.pinned = vec!["closed".into()]),
        wanted("lost", 1, 10, |spec| spec.placement.pinned = vec!["nowhere".into()]),
    ];
    let plan = settle(placement, &models, &mut inventory);
    let on = |model| of(&inventory, model).map(|worker| worker.node.to_string()).collect::<Vec<_>>();
    assert_eq!((on("selects"), on("pinned")), (vec!["labelled".to_owned(); 2], vec!["plain".to_owned(); 2]));
    assert_eq!((unplaced(&plan, "shut"), unplaced(&plan, "lost")), (1, 1), "a pin is no wish: {plan:?}");
}

/// Nobody shares an accelerator.
fn accelerators(placement: &dyn Placement) {
    let mut node = Node::with_memory("a", 100);
    node.capacity.accelerators = vec![Accelerator { name: "gpu".to_owned(), memory: 1 }; 3];
    let mut inventory = nodes([node, Node::with_memory("b", 100)]);
    let asks = |spec: &mut ModelSpec| {
        spec.placement.accelerators = Some(AcceleratorRequest { name: "gpu".to_owned(), count: 2 });
    };
    let plan = settle(placement, &[wanted("m", 2, 10, asks)], &mut inventory);
    assert_eq!(of(&inventory, "m").map(|worker| worker.node.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(unplaced(&plan, "m"), 1, "one is left, and two are asked for");
    set(&mut inventory, "a", Openness::Reserved("gpu".to_owned()));
    inventory.workers.clear();
    let plan = settle(placement, &[wanted("n", 9, 20, |_| ()), wanted("m", 1, 10, asks)], &mut inventory);
    let on_a = |model| of(&inventory, model).filter(|worker| worker.node.as_str() == "a").count();
    assert_eq!((on_a("n"), on_a("m")), (0, 1), "it is for those that ask for what it has");
    assert_eq!(unplaced(&plan, "n"), 4, "and the others have the other one");
}

/// Who comes first has the memory, and who comes later does not take it back.
fn priorities(placement: &dyn Placement) {
    let mut inventory = nodes([Node::with_memory("a", 100)]);
    let models = |replicas, priority| {
        let high = wanted("high", replicas, 50, |spec| spec.priority = priority);
        [wanted("low", 2, 50, |_| ()), high]
    };
    settle(placement, &models(1, 1), &mut inventory);
    assert_eq!((of(&inventory, "high").count(), of(&inventory, "low").count()), (1, 1), "the higher priority first");
    let before = inventory.clone();
    settle(placement, &models(2, 0), &mut inventory);
    assert_eq!(inventory, before, "nobody goes for an equal");
    settle(placement, &models(2, -1), &mut inventory);
    assert!(of(&inventory, "low").count() >= 1, "nor for a lesser one");
    let plan = settle(placement, &models(2, 1), &mut inventory);
    assert!(of(&inventory, "high").count() >= 1, "what has its place keeps it");
    assert_eq!(placement.plan(&models(2, 1), &inventory), plan, "nothing goes back and forth");
}

/// What lingers may stay, and is not started.
fn lingering(placement: &dyn Placement) {
    let mut inventory = nodes([Node::with_memory("a", 100)]);
    let lingers = [Wanted { spare: 2, ..wanted("m", 3, 30, |_| ()) }];
    settle(placement, &lingers, &mut inventory);
    assert_eq!(of(&inventory, "m").count(), 1, "only what is needed");
    settle(placement, &[wanted("m", 3, 30, |_| ())], &mut inventory);
    settle(placement, &lingers, &mut inventory);
    assert_eq!(of(&inventory, "m").count(), 3, "nobody wants the room");
}

/// A new revision takes the place of the old one, within the surge.
fn replacement(placement: &dyn Placement) {
    for surge in [None, Some(0), Some(1)] {
        let mut inventory = nodes([Node::with_memory("a", 100)]);
        settle(placement, &[wanted("m", 2, 10, |_| ())], &mut inventory);
        let changed = wanted("m", 2, 10, |spec| {
            spec.engine.slots = Some(7);
            spec.rollout.surge = surge;
        });
        let most = surge.map_or(usize::MAX, |surge| 2 + surge as usize);
        settle_with(placement, std::slice::from_ref(&changed), &mut inventory, |inventory| {
            let serving = of(inventory, "m").count();
            assert!((1..=most).contains(&serving), "{serving} workers, {surge:?} beyond two");
        });
        let revision = changed.spec.revision();
        assert!(inventory.workers.len() == 2 && of(&inventory, "m").all(|worker| worker.revision == revision));
    }
}

/// A trial has its share of the replicas, beside a single one too, and what serves serves on while it begins and ends.
fn trial(placement: &dyn Placement) {
    let canary = |weight| {
        let engine = EngineSettings { slots: Some(7), ..EngineSettings::default() };
        Some(Canary { weight, engine })
    };
    for (replicas, weight, expected) in [(1, 10, [1, 1]), (4, 10, [3, 1]), (4, 50, [2, 2])] {
        let mut inventory = nodes([Node::with_memory("a", 100)]);
        let model = |weight| [wanted("m", replicas, 10, |spec| spec.rollout.canary = weight)];
        let tried = model(canary(weight));
        let serve = |inventory: &Inventory| assert!(of(inventory, "m").count() >= replicas as usize);
        settle(placement, &model(None), &mut inventory);
        settle_with(placement, &tried, &mut inventory, serve);
        let [own, on_trial] = [tried[0].spec.revision(), tried[0].trial.as_ref().expect("a trial").spec.revision()]
            .map(|revision| of(&inventory, "m").filter(|worker| worker.revision == revision).count());
        assert_eq!([own, on_trial], expected, "{weight} of 100 of {replicas}");
        settle_with(placement, &model(None), &mut inventory, serve);
        let own = of(&inventory, "m").filter(|worker| worker.revision == tried[0].spec.revision()).count();
        assert_eq!((own, inventory.workers.len()), (replicas as usize, replicas as usize), "all are as before");
    }
}

/// Who is on a cordoned node is replaced elsewhere, within the surge, and stays where that cannot be.
fn cordoned(placement: &dyn Placement) {
    for surge in [None, Some(0), Some(1)] {
        let mut inventory = nodes([Node::with_memory("a", 100)]);
        let models = [
            wanted("m", 2, 10, |spec| spec.rollout.surge = surge),
            wanted("pinned", 1, 10, |spec| spec.placement.pinned = vec!["a".into()]),
        ];
        settle(placement, &models, &mut inventory);
        for (openness, why) in
            [(Openness::Cordoned, "there is no room elsewhere"), (Openness::Closed, "it may be back")]
        {
            let before = set(&mut inventory, "a", openness);
            let plan = settle(placement, &models, &mut inventory);
            assert_eq!((inventory.workers.len(), inventory == before), (3, true), "{why}: {plan:?}");
            inventory.nodes.insert("b".into(), Arc::new(Node::with_memory("b", 10)));
        }
        set(&mut inventory, "a", Openness::Cordoned);
        let most = surge.map_or(usize::MAX, |surge| 2 + surge as usize);
        let serve = |inventory: &Inventory| {
            let serving = of(inventory, "m").count();
            assert!((1..=most).contains(&serving), "{serving} workers, {surge:?} beyond two");
        };
        let on = |inventory: &Inventory, model| {
            of(inventory, model).map(|worker| worker.node.to_string()).collect::<BTreeSet<_>>()
        };
        let plan = settle_with(placement, &models, &mut inventory, serve);
        assert_eq!(on(&inventory, "m"), BTreeSet::from(["a", "b"].map(str::to_owned)), "as far as there is room");
        assert_eq!((of(&inventory, "m").count(), unplaced(&plan, "m")), (2, 1), "the other one is told: {plan:?}");
        inventory.nodes.insert("b".into(), Arc::new(Node::with_memory("b", 100)));
        settle_with(placement, &models, &mut inventory, serve);
        assert_eq!((of(&inventory, "m").count(), on(&inventory, "m")), (2, BTreeSet::from(["b".to_owned()])));
        assert_eq!(on(&inventory, "pinned"), BTreeSet::from(["a".to_owned()]), "a pin is no wish");
    }
}

/// Who is refused by its node is started elsewhere, and nobody goes for that.
fn refused(placement: &dyn Placement) {
    let mut inventory = nodes([Node::with_memory("a", 100), Node::with_memory("b", 50)]);
    let models = [
        wanted("other", 1, 50, |spec| spec.placement.pinned = vec!["b".into()]),
        wanted("m", 1, 20, |spec| spec.priority = 1),
    ];
    settle(placement, &models, &mut inventory);
    let first = of(&inventory, "m").next().expect("it fits").id.clone();
    let worker = Arc::make_mut(inventory.workers.get_mut(&first).expect("it is there"));
    (worker.state, worker.refused) = (WorkerState::Backoff { reason: "no room".to_owned(), retry_at_ms: 0 }, true);
    let plan = settle(placement, &models, &mut inventory);
    assert_eq!((of(&inventory, "m").count(), of(&inventory, "other").count()), (1, 1), "{plan:?}");
    assert_eq!(unplaced(&plan, "m"), 1, "it is told: {plan:?}");
    inventory.nodes.insert("c".into(), Arc::new(Node::with_memory("c", 20)));
    settle(placement, &models, &mut inventory);
    let left: Vec<&str> = of(&inventory, "m").map(|worker| worker.node.as_str()).collect();
    assert_eq!(left, ["c"], "who serves takes the place of who does not");
}

/// Opens or closes a node; returns what there is then.
fn set(inventory: &mut Inventory, node: &str, openness: Openness) -> Inventory {
    Arc::make_mut(inventory.nodes.get_mut(&node.into()).expect("a node")).openness = openness;
    inventory.clone()
}

fn nodes<const N: usize>(nodes: [Node; N]) -> Inventory {
    let nodes = nodes.into_iter().map(|node| (node.name.clone(), Arc::new(node)));
    Inventory { nodes: nodes.collect(), ..Inventory::default() }
}

fn wanted(name: &str, replicas: u32, memory: u64, change: impl FnOnce(&mut ModelSpec)) -> Wanted {
    let mut spec = ModelSpec::new(name.parse().expect("a name"), "builtin:m".parse().expect("a URL"));
    spec.replicas = replicas;
    change(&mut spec);
    Wanted::new(Arc::new(spec), Some(memory))
}

fn of<'i>(inventory: &'i Inventory, model: &'i str) -> impl Iterator<Item = &'i Arc<Worker>> {
    inventory.workers.values().filter(move |worker| worker.model.as_str() == model)
}

fn unplaced(plan: &Plan, model: &str) -> u32 {
    plan.unplaced.iter().filter(|unplaced| unplaced.spec.name.as_str() == model).map(|unplaced| unplaced.replicas).sum()
}

fn settle(placement: &dyn Placement, wanted: &[Wanted], inventory: &mut Inventory) -> Plan {
    settle_with(placement, wanted, inventory, |_| ())
}

/// Plans and carries out until there is nothing to do; `look` sees each state on the way.
fn settle_with(
    placement: &dyn Placement,
    wanted: &[Wanted],
    inventory: &mut Inventory,
    look: impl Fn(&Inventory),
) -> Plan {
    for _ in 0..ROUNDS {
        let plan = placement.plan(wanted, inventory);
        if plan.actions.is_empty() {
            return plan;
        }
        carry_out(&plan, inventory);
        look(inventory);
    }
    panic!("the plan does not settle: {:?}", placement.plan(wanted, inventory));
}

/// Does what a plan says, in its order: workers serve at once, and those that stop are gone.
fn carry_out(plan: &Plan, inventory: &mut Inventory) {
    for action in &plan.actions {
        match action {
            Action::Start(start) => {
                let node = inventory.nodes.get(&start.node).expect("a start is on a node that is there");
                assert!(node.is_open_to(start.spec.placement.accelerators.as_ref()), "{action}: takes no such workers");
                let free = inventory.free_memory(node);
                assert!(free >= start.memory, "{action}: needs {} and {free} are free", start.memory);
                let mut worker = Worker::new(start.worker.clone(), start.spec.name.clone(), start.node.clone());
                (worker.revision, worker.memory, worker.state) =
                    (start.spec.revision(), start.memory, WorkerState::Ready);
                let taken = inventory.workers.insert(worker.id.clone(), Arc::new(worker));
                assert!(taken.is_none(), "{action}: the name is taken");
            }
            Action::Stop { worker } => drop(inventory.workers.remove(worker)),
        }
    }
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
