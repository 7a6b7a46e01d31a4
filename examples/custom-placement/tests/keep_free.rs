//! The wrapper against the suite of all placements, and in the loop that uses it.

use clowder_core::placement::{MemoryFit, Placement, Wanted};
use clowder_core::status::{ModelPhase, ModelStatus};
use clowder_core::testing::{
    InMemoryBackend, InMemoryDesired, InMemorySource, eventually, placement::conformance, tiny_gguf, updates,
};
use clowder_core::worker::{Worker, WorkerState};
use clowder_core::{DesiredStore, Inventory, ModelName, ModelSpec, ModelUrl, Node, Plan, Reconciler};
use example_custom_placement::KeepFree;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn spare() -> KeepFree<MemoryFit> {
    KeepFree::new(MemoryFit, "role", "spare")
}

fn node(name: &str, gib: u64, role: &str) -> Node {
    let mut node = Node::with_memory(name, gib << 30);
    node.labels.insert("role".to_owned(), role.to_owned());
    node
}

fn nodes_of(status: &ModelStatus) -> BTreeSet<&str> {
    status.workers.iter().map(|worker| worker.node.as_str()).collect()
}

#[test]
fn it_keeps_to_the_traits_word() {
    conformance(&spare());
}

#[test]
fn what_runs_on_a_spare_node_stays_and_nothing_joins_it() {
    let wanted = |replicas| {
        let mut spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
        spec.replicas = replicas;
        [Wanted::new(Arc::new(spec), Some(1 << 30))]
    };
    let spare_node = node("spare", 64, "spare");
    let mut inventory = Inventory { nodes: [("spare".into(), Arc::new(spare_node))].into(), ..Inventory::default() };
    let mut worker = Worker::new("m-0-0".parse().unwrap(), "m".parse().unwrap(), "spare".into());
    (worker.revision, worker.state) = (wanted(1)[0].spec.revision(), WorkerState::Ready);
    inventory.workers.insert(worker.id.clone(), Arc::new(worker));

    assert_eq!(spare().plan(&wanted(1), &inventory), Plan::default());
    let more = spare().plan(&wanted(2), &inventory);
    assert!(more.actions.is_empty(), "{:?}", more.actions);
    assert_eq!(more.unplaced[0].reason, "the nodes it may run on take no new workers");
}

#[tokio::test]
async fn the_spare_node_is_free_until_it_is_spare_no_more() {
    let (name, url): (ModelName, ModelUrl) = ("m".parse().unwrap(), "builtin:m".parse().unwrap());
    let source = InMemorySource::new([(url.clone(), tiny_gguf(0))]);
    let desired = Arc::new(InMemoryDesired::new());
    // The spare node has the most memory by far: without the wrapper, it would be taken first.
    let backend = Arc::new(InMemoryBackend::new([node("small", 1, "worker"), node("spare", 64, "spare")]));
    let reconciler = Reconciler::new(desired.clone(), backend.clone(), Arc::new(spare()), Arc::new(source));
    let statuses = reconciler.statuses();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(reconciler.run(shutdown.clone()));
    let until = async |what: &str, fits: &dyn Fn(&ModelStatus) -> bool| {
        let stream = updates(statuses.clone());
        let all = eventually(stream, what, |all| all.get(&name).is_some_and(|status| fits(status))).await;
        all[&name].clone()
    };

    let mut spec = ModelSpec::new(name.clone(), url);
    spec.replicas = 100;
    desired.update(&name, Box::new(move |_| Ok(Some(spec)))).await.unwrap();
    let full = until("the small node is full", &|status| status.phase == ModelPhase::Degraded).await;
    assert_eq!(nodes_of(&full), BTreeSet::from(["small"]));
    assert!(full.reason.is_some(), "its user is told that there is no room");

    backend.insert_node(node("spare", 64, "worker"));
    let ready = until("both nodes serve", &|status| status.phase == ModelPhase::Ready).await;
    assert_eq!(nodes_of(&ready), BTreeSet::from(["small", "spare"]));

    shutdown.cancel();
    running.await.unwrap();
}
