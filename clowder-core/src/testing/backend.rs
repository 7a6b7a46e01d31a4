//! For [`Backend`]: an in-memory one, and the suite.

use super::eventually;
use crate::backend::{Backend, BackendError, LogOptions};
use crate::model::ModelSpec;
use crate::node::{Inventory, Node};
use crate::plan::{Action, StartWorker};
use crate::worker::{Worker, WorkerId, WorkerState};
use crate::{BoxStream, NodeName};
use async_trait::async_trait;
use futures::StreamExt;
use std::sync::Arc;
use tokio::sync::watch;

/// A backend whose workers are entries of a map: they serve as soon as they are started, unless a test says otherwise.
pub struct InMemoryBackend {
    inventory: watch::Sender<Arc<Inventory>>,
    endpoint: Option<String>,
    first_state: WorkerState,
}

impl InMemoryBackend {
    /// A backend of these nodes.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        let nodes = nodes.into_iter().map(|node| (node.name.clone(), Arc::new(node))).collect();
        let inventory = Arc::new(Inventory { nodes, ..Inventory::default() });
        Self {
            inventory: watch::channel(inventory).0,
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            first_state: WorkerState::Ready,
        }
    }

    /// Where its workers say they listen.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// The state its workers begin in.
    #[must_use]
    pub fn starting_in(mut self, state: WorkerState) -> Self {
        self.first_state = state;
        self
    }

    /// Changes a worker as if something had happened to it. Unknown ones are added to the inventory's view by nothing.
    pub fn change(&self, worker: &WorkerId, change: impl FnOnce(&mut Worker)) {
        self.edit(|inventory| {
            if let Some(entry) = inventory.workers.get_mut(worker) {
                change(Arc::make_mut(entry));
            }
        });
    }

    /// Adds or replaces a worker.
    pub fn insert(&self, worker: Worker) {
        self.edit(|inventory| drop(inventory.workers.insert(worker.id.clone(), Arc::new(worker))));
    }

    /// Adds or replaces a node.
    pub fn insert_node(&self, node: Node) {
        self.edit(|inventory| drop(inventory.nodes.insert(node.name.clone(), Arc::new(node))));
    }

    /// Takes a node and its workers away.
    pub fn lose_node(&self, node: &NodeName) {
        self.edit(|inventory| {
            inventory.nodes.remove(node);
            inventory.workers.retain(|_, worker| worker.node != *node);
        });
    }

    fn edit(&self, edit: impl FnOnce(&mut Inventory)) {
        self.inventory.send_modify(|inventory| edit(Arc::make_mut(inventory)));
    }

    fn start(&self, start: &StartWorker) -> Result<(), BackendError> {
        let inventory = self.inventory.borrow().clone();
        if !inventory.nodes.contains_key(&start.node) {
            return Err(BackendError::UnknownNode { node: start.node.clone() });
        }
        match inventory.workers.get(&start.worker) {
            Some(worker) if worker.state.is_live() => return Ok(()),
            Some(_) => return Err(BackendError::Busy { worker: start.worker.clone() }),
            None => {}
        }
        let mut worker = Worker::new(start.worker.clone(), start.spec.name.clone(), start.node.clone());
        worker.revision = start.spec.revision();
        worker.memory = start.memory;
        worker.slots = start.spec.engine.slots();
        worker.endpoint.clone_from(&self.endpoint);
        worker.state = self.first_state.clone();
        self.insert(worker);
        Ok(())
    }
}

#[async_trait]
impl Backend for InMemoryBackend {
    async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
        Ok(self.inventory.borrow().clone())
    }

    async fn apply(&self, action: &Action) -> Result<(), BackendError> {
        match action {
            Action::Start(start) => self.start(start),
            Action::Stop { worker } => {
                self.edit(|inventory| drop(inventory.workers.remove(worker)));
                Ok(())
            }
        }
    }

    fn watch(&self) -> BoxStream<Arc<Inventory>> {
        super::updates(self.inventory.subscribe())
    }

    async fn logs(
        &self,
        worker: &WorkerId,
        options: LogOptions,
    ) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
        if !self.inventory.borrow().workers.contains_key(worker) {
            return Err(BackendError::UnknownWorker { worker: worker.clone() });
        }
        let lines = vec![Ok(format!("{worker} started"))];
        let lines = futures::stream::iter(lines.into_iter().take(options.tail.unwrap_or(usize::MAX)));
        Ok(if options.follow { lines.chain(futures::stream::pending()).boxed() } else { lines.boxed() })
    }
}

/// The suite. `spec` names a model that the backend can serve; the backend has at least one node and no worker of it.
///
/// # Panics
/// Where the backend does not keep to the trait's word.
pub async fn conformance(backend: Arc<dyn Backend>, spec: ModelSpec) {
    let spec = Arc::new(spec);
    let inventory = backend.inventory().await.expect("an inventory");
    let node = inventory.nodes.keys().next().expect("a node").clone();
    assert!(inventory.workers.values().all(|worker| worker.model != spec.name), "no worker at the beginning");
    let worker = WorkerId::nth(&spec.name, spec.revision(), 0);
    let start = Action::Start(StartWorker { worker: worker.clone(), spec: Arc::clone(&spec), node, memory: 1 << 20 });
    let gone = Action::Stop { worker: worker.clone() };

    backend.apply(&gone).await.expect("stopping what does not run is no error");
    let nowhere = NodeName::from("no-such-node");
    let Action::Start(mut lost) = start.clone() else { unreachable!("made above") };
    lost.node = nowhere.clone();
    let refused = backend.apply(&Action::Start(lost)).await;
    assert!(matches!(&refused, Err(BackendError::UnknownNode { node }) if *node == nowhere), "{refused:?}");
    let unknown = backend.logs(&worker, LogOptions::default()).await;
    assert!(matches!(unknown.err(), Some(BackendError::UnknownWorker { .. })), "no log of what never ran");

    for _ in 0..2 {
        backend.apply(&start).await.expect("starting, also again");
    }
    let serving = |inventory: &Arc<Inventory>| inventory.workers.get(&worker).is_some_and(|w| w.serving().is_some());
    let inventory = eventually(backend.watch(), "the worker serves", serving).await;
    let mine: Vec<_> = inventory.workers.values().filter(|worker| worker.model == spec.name).collect();
    assert_eq!(mine.len(), 1, "one start, one worker");
    assert_eq!(mine[0].revision, spec.revision());
    assert_eq!(mine[0].memory, 1 << 20, "the promised memory is reported");
    assert_eq!(mine[0].slots, spec.engine.slots());
    let observed = backend.inventory().await.expect("an inventory");
    assert!(serving(&observed), "inventory() and watch() agree");
    assert!(backend.logs(&worker, LogOptions { tail: Some(5), follow: false }).await.is_ok(), "a log");

    for _ in 0..2 {
        backend.apply(&gone).await.expect("stopping, also again");
    }
    let absent = |inventory: &Arc<Inventory>| !inventory.workers.contains_key(&worker);
    eventually(backend.watch(), "the worker is gone", absent).await;
    backend.apply(&start).await.expect("starting under the same name again");
    eventually(backend.watch(), "the worker serves again", serving).await;
    backend.apply(&gone).await.expect("stopping");
    eventually(backend.watch(), "the worker is gone again", absent).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_memory_conforms() {
        let spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
        let backend: Arc<dyn Backend> = Arc::new(InMemoryBackend::new([Node::with_memory("a", 1 << 30)]));
        conformance(Arc::new(backend), spec).await;
    }
}
