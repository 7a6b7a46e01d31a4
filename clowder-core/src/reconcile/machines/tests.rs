use super::count::{Note, fewer, more};
use super::*;
use crate::ModelSpec;
use crate::desired::DesiredStore;
use crate::infra::{Machine, Pool};
use crate::model::AcceleratorRequest;
use crate::node::{Accelerator, Node, Openness};
use crate::placement::MemoryFit;
use crate::plan::{Cause, Unplaced};
use crate::reconcile::Reconciler;
use crate::status::{ModelPhase, ModelStatus, ModelStatuses};
use crate::testing::{InMemoryBackend, InMemoryDesired, InMemoryInfra, InMemorySource, eventually, tiny_gguf, updates};
use async_trait::async_trait;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const MIB: u64 = 1 << 20;

fn spec(name: &str) -> ModelSpec {
    ModelSpec::new(name.parse().unwrap(), "builtin:m".parse().unwrap())
}

fn unplaced(spec: ModelSpec, replicas: u32, memory: u64) -> Unplaced {
    let reason = "no room".to_owned();
    Unplaced { spec: Arc::new(spec), replicas, memory, node: None, cause: Cause::Memory, reason }
}

fn pool(desired: u32, max: u32, machine_memory: u64, machines: &[(&str, MachineState)]) -> Pool {
    let machines =
        machines.iter().map(|(node, state)| Machine { node: (*node).into(), state: state.clone() }).collect();
    Pool { desired, min: 0, max, machine_memory, machines }
}

fn state<const N: usize>(pools: [(&str, Pool); N]) -> InfraState {
    InfraState { pools: pools.into_iter().map(|(name, pool)| (name.into(), pool)).collect() }
}

fn plan<const N: usize>(unplaced: [Unplaced; N]) -> Plan {
    Plan { unplaced: unplaced.into(), ..Plan::default() }
}

/// What is asked for, as numbers.
fn asked(changes: &Changes) -> Vec<(&str, u32)> {
    changes.iter().map(|(pool, change)| (pool.0.as_str(), change.to)).collect()
}

fn nobody<'n>() -> HashSet<&'n NodeName> {
    HashSet::new()
}

#[test]
fn the_largest_first_onto_the_smallest_that_holds_it() {
    let pools = state([("large", pool(0, 9, 16, &[])), ("small", pool(1, 9, 8, &[("s", MachineState::Removing)]))]);
    let plan = plan([unplaced(spec("a"), 3, 3), unplaced(spec("b"), 1, 5), unplaced(spec("c"), 1, 10)]);
    // 10 + 5 on a large one, 3 + 3 and 3 on small ones, of which one is asked for already.
    let more = more(&pools, &nobody(), &plan, &Inventory::default());
    assert_eq!(asked(&more.changes), [("large", 1), ("small", 2)]);
    let waits = |pool: &str| vec![Note::Waits(pool.into())];
    assert_eq!(more.told, [waits("small"), waits("large"), waits("large")]);
}

#[test]
fn what_is_coming_is_enough_whichever_pool_it_is_of() {
    let machines = [("l", MachineState::Creating)];
    let pools = state([("large", pool(1, 9, 16, &machines)), ("small", pool(0, 9, 8, &[]))]);
    let more = more(&pools, &nobody(), &plan([unplaced(spec("a"), 2, 8)]), &Inventory::default());
    assert_eq!((asked(&more.changes), more.told), (vec![], vec![vec![Note::Waits("large".into())]]));
}

#[test]
fn no_more_than_the_most_and_the_next_pool_then() {
    let pools = state([("small", pool(0, 1, 8, &[])), ("large", pool(2, 2, 16, &[("l", MachineState::Running)]))]);
    let plan = plan([unplaced(spec("a"), 9, 8)]);
    let more = more(&pools, &nobody(), &plan, &Inventory::default());
    assert_eq!(asked(&more.changes), [("small", 1)], "two of large are on their way and hold four");
    let told: Vec<String> = more.told[0].iter().map(Note::to_string).collect();
    let waits = ["waiting for a machine of pool small", "waiting for a machine of pool large"];
    assert_eq!(told, [waits[0], waits[1], "pool small is at its most machines, 1"]);
}

#[test]
fn a_machine_that_never_takes_workers_is_not_waited_for() {
    let failed = MachineState::Failed { reason: "no disk".to_owned() };
    let machines = [("a", MachineState::Running), ("b", failed), ("c", MachineState::Creating)];
    let pools = state([("p", pool(3, 9, 8, &machines))]);
    let wanted = plan([unplaced(spec("a"), 2, 8)]);
    assert_eq!(asked(&more(&pools, &nobody(), &wanted, &Inventory::default()).changes), []);
    let name = NodeName::from("a");
    let overdue = more(&pools, &[&name].into(), &wanted, &Inventory::default());
    assert_eq!(asked(&overdue.changes), [("p", 4)]);
}

#[test]
fn nothing_is_asked_for_what_a_machine_does_not_help() {
    let pools = state([("p", pool(0, 9, 8, &[]))]);
    let too_large = unplaced(spec("a"), 1, 9);
    let pinned = Unplaced { node: Some("n".into()), ..unplaced(spec("b"), 1, 1) };
    let leaving = Unplaced { cause: Cause::Leaving, ..unplaced(spec("c"), 1, 1) };
    let refused = Unplaced { cause: Cause::Refused, ..unplaced(spec("d"), 1, 1) };
    let more = more(&pools, &nobody(), &plan([too_large, pinned, leaving, refused]), &Inventory::default());
    assert_eq!((asked(&more.changes), more.told), (vec![], vec![vec![]; 4]));
}

#[test]
fn what_a_pools_machines_carry_its_nodes_say() {
    let mut selects = spec("a");
    selects.placement.selector.insert("gpu".to_owned(), "yes".to_owned());
    let gpu = "nvidia.com/gpu".to_owned();
    selects.placement.accelerators = Some(AcceleratorRequest { name: gpu.clone(), count: 1 });
    let wanted = plan([unplaced(selects, 3, 1)]);
    let pools = state([("p", pool(1, 9, 8, &[("n", MachineState::Running)]))]);
    assert_eq!(asked(&more(&pools, &nobody(), &wanted, &Inventory::default()).changes), []);
    let mut node = Node::with_memory("n", 8);
    node.labels.insert("gpu".to_owned(), "yes".to_owned());
    node.capacity.accelerators = vec![Accelerator { name: gpu, memory: 1 }; 2];
    let inventory = Inventory { nodes: [(node.name.clone(), Arc::new(node))].into(), ..Inventory::default() };
    assert_eq!(asked(&more(&pools, &nobody(), &wanted, &inventory).changes), [("p", 3)], "two on each");
}

#[test]
fn a_machine_that_is_to_be_empty_is_not_coming_and_one_kept_for_others_no_help() {
    let pools = state([("p", pool(1, 9, 8, &[("n", MachineState::Running)]))]);
    let wanted = plan([unplaced(spec("a"), 1, 8)]);
    let asked_with = |openness: Openness| {
        let node = Node { openness, ..Node::with_memory("n", 8) };
        let inventory = Inventory { nodes: [(node.name.clone(), Arc::new(node))].into(), ..Inventory::default() };
        asked(&more(&pools, &nobody(), &wanted, &inventory).changes).iter().map(|(_, to)| *to).collect::<Vec<_>>()
    };
    assert_eq!(asked_with(Openness::Closed), [], "it may take workers yet");
    assert_eq!(asked_with(Openness::Cordoned), [2]);
    assert_eq!(asked_with(Openness::Reserved("gpu".to_owned())), [], "another one would be the same");
    assert_eq!(asked_with(Openness::Open), [2]);
}

#[test]
fn those_without_workers_go_down_to_the_least() {
    let machines = ["a", "b", "c"].map(|node| (node, MachineState::Running));
    let names: Vec<NodeName> = ["a", "b"].map(NodeName::from).into();
    let overdue: HashSet<&NodeName> = names.iter().collect();
    let asked_with = |desired, min| {
        let pools = state([("p", Pool { min, ..pool(desired, 9, 8, &machines) })]);
        asked(&fewer(&pools, &overdue)).first().map(|(_, to)| *to)
    };
    assert_eq!((asked_with(3, 0), asked_with(3, 2)), (Some(1), Some(2)));
    assert_eq!((asked_with(3, 3), asked_with(1, 0)), (None, None), "at the least; two are on their way out");
    assert_eq!(asked_with(2, 0), Some(1), "one of the two is on its way out");
}

proptest! {
    #[test]
    fn enough_and_never_beyond_the_limits(
        pools in prop::collection::vec((0_u32..4, 0_u32..4, 1_u64..20), 1..4),
        wanted in prop::collection::vec((1_u32..5, 1_u64..20), 0..5),
    ) {
        let named = pools.iter().enumerate().map(|(i, &(desired, more, memory))| {
            (PoolName(format!("p{i}")), pool(desired, desired + more, memory, &[]))
        });
        let mut state = InfraState { pools: named.collect() };
        let unplaced = wanted.iter().map(|&(replicas, memory)| unplaced(spec("m"), replicas, memory)).collect();
        let plan = Plan { unplaced, ..Plan::default() };
        let first = more(&state, &nobody(), &plan, &Inventory::default());
        for (name, change) in &first.changes {
            let pool = state.pools.get_mut(name).unwrap();
            prop_assert!(change.from == pool.desired && (change.from + 1..=pool.max).contains(&change.to));
            pool.desired = change.to;
        }
        // Once asked for, they are on their way, and the same plan asks for no more.
        let again = more(&state, &nobody(), &plan, &Inventory::default());
        prop_assert_eq!(asked(&again.changes), []);
        for (unplaced, told) in plan.unplaced.iter().zip(&first.told) {
            let any_holds = pools.iter().any(|&(_, _, memory)| memory >= unplaced.memory);
            prop_assert_eq!(any_holds, !told.is_empty(), "who could have a machine is told of one");
        }
    }
}

/// An infrastructure that fails the first calls and tells of the others.
struct Flaky {
    infra: InMemoryInfra,
    failures: AtomicU32,
    /// The numbers that were asked for.
    scaled: watch::Sender<Vec<u32>>,
}

#[async_trait]
impl Infra for Flaky {
    async fn observe(&self) -> Result<InfraState, InfraError> {
        self.infra.observe().await
    }

    async fn scale(&self, pool: &PoolName, machines: u32) -> Result<(), InfraError> {
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(InfraError::Unreachable { what: "call".to_owned(), source: "no answer".into() });
        }
        let done = self.infra.scale(pool, machines).await;
        self.scaled.send_modify(|scaled| scaled.push(machines));
        done
    }
}

/// A loop over an infrastructure with one pool `p`, on whose machines two workers have room, and no nodes.
struct Cluster {
    desired: Arc<InMemoryDesired>,
    backend: Arc<InMemoryBackend>,
    infra: Arc<Flaky>,
    statuses: watch::Receiver<Arc<ModelStatuses>>,
}

impl Cluster {
    fn start(failures: u32) -> Self {
        let infra = InMemoryInfra::new([("p".into(), 0..=2, 150 * MIB)]);
        let infra = Arc::new(Flaky { infra, failures: failures.into(), scaled: watch::Sender::default() });
        let source = InMemorySource::new([("builtin:m".parse().unwrap(), tiny_gguf(0))]);
        let (desired, backend) = (Arc::new(InMemoryDesired::new()), Arc::new(InMemoryBackend::new([])));
        let reconciler = Reconciler::new(desired.clone(), backend.clone(), Arc::new(MemoryFit), Arc::new(source))
            .with_infra(infra.clone());
        let statuses = reconciler.statuses();
        tokio::spawn(reconciler.run(CancellationToken::new()));
        Self { desired, backend, infra, statuses }
    }

    async fn want(&self, replicas: u32) {
        let spec = ModelSpec { replicas, ..spec("m") };
        self.desired.update(&spec.name.clone(), Box::new(|_| Ok(Some(spec)))).await.unwrap();
    }

    async fn until(&self, what: &str, fits: impl Fn(&ModelStatus) -> bool) {
        eventually(updates(self.statuses.clone()), what, |all| all.values().any(|status| fits(status))).await;
    }

    /// Waits until these numbers of machines have been asked for.
    async fn until_asked(&self, numbers: &[u32]) {
        self.infra.scaled.subscribe().wait_for(|asked| asked == numbers).await.unwrap();
    }
}

fn says(status: &ModelStatus, what: &str) -> bool {
    status.reason.as_deref().is_some_and(|reason| reason.contains(what))
}

#[tokio::test(start_paused = true)]
async fn machines_come_for_what_has_no_place_and_go_when_nothing_runs() {
    let cluster = Cluster::start(0);
    cluster.want(3).await;
    cluster.until("waits", |status| says(status, "there are no nodes; waiting for a machine of pool p")).await;
    cluster.until_asked(&[2]).await;
    for node in ["p-0", "p-1"] {
        cluster.backend.insert_node(Node::with_memory(node, 150 * MIB));
    }
    cluster.until("ready", |status| status.phase == ModelPhase::Ready).await;
    cluster.want(9).await;
    cluster.until("told", |status| says(status, "pool p is at its most machines, 2")).await;

    cluster.want(0).await;
    cluster.until("idle", |status| status.phase == ModelPhase::Idle && status.workers.is_empty()).await;
    let before = Instant::now();
    cluster.until_asked(&[2, 0]).await;
    assert_eq!(before.elapsed(), IDLE);
}

#[tokio::test(start_paused = true)]
async fn what_the_infrastructure_refuses_is_told_and_asked_again() {
    let cluster = Cluster::start(2);
    cluster.want(1).await;
    cluster.until("told", |status| says(status, "not yet asked for: call failed: no answer")).await;
    cluster.until_asked(&[1]).await;
    cluster.until("waits", |status| says(status, "waiting for a machine of pool p") && !says(status, "not yet")).await;
}
