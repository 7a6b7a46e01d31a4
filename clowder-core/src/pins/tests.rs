use super::*;
use crate::BoxStream;
use crate::model::{Adapter, Canary, Draft, EngineSettings};
use crate::stock::Stock;
use crate::store::{CachedModel, FetchProgress, FetchRequest, StoreError, StoredModel};
use crate::testing::{InMemoryDesired, updates};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

type Pins = BTreeSet<ModelUrl>;

/// Nodes that tell of their pins, and may be out of reach.
struct Nodes {
    stocks: watch::Sender<Arc<Stocks>>,
    reachable: Mutex<bool>,
    /// How often each node was written to.
    writes: watch::Sender<BTreeMap<NodeName, usize>>,
}

impl Nodes {
    fn new(names: &[&str]) -> Arc<Self> {
        let told = names.iter().map(|&name| (name.into(), Arc::default())).collect();
        let stocks = watch::channel(Arc::new(Stocks { told, keepers: None })).0;
        Arc::new(Self { stocks, reachable: Mutex::new(true), writes: watch::channel(BTreeMap::new()).0 })
    }

    fn tell(&self, node: &str, pinned: Pins) {
        let stock = Arc::new(Stock { pinned, ..Stock::default() });
        self.stocks.send_modify(|stocks| drop(Arc::make_mut(stocks).told.insert(node.into(), stock)));
    }

    fn pins(&self, node: &str) -> Pins {
        self.stocks.borrow().told[&node.into()].pinned.clone()
    }

    /// Until a node was written to so often.
    async fn written(&self, node: &str, times: usize) {
        let mut writes = self.writes.subscribe();
        writes.wait_for(|writes| writes.get(&node.into()) == Some(&times)).await.unwrap();
    }
}

struct Board(Arc<Nodes>);

impl StockSource for Board {
    fn watch(&self) -> BoxStream<Arc<Stocks>> {
        updates(self.0.stocks.subscribe())
    }
}

#[async_trait]
impl ModelStore for Board {
    async fn ensure(
        &self,
        node: &NodeName,
        _: FetchRequest,
        _: watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        Err(StoreError::UnknownNode { node: node.clone() })
    }

    async fn inventory(&self, _: &NodeName) -> Result<Vec<CachedModel>, StoreError> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &NodeName, _: &ModelUrl) -> Result<(), StoreError> {
        Ok(())
    }

    async fn pin(&self, node: &NodeName, urls: &Pins) -> Result<(), StoreError> {
        let reachable = *self.0.reachable.lock().unwrap();
        if reachable {
            self.0.tell(node.as_str(), urls.clone());
        }
        self.0.writes.send_modify(|writes| *writes.entry(node.clone()).or_default() += 1);
        if reachable { Ok(()) } else { Err(StoreError::UnknownNode { node: node.clone() }) }
    }
}

fn url(text: &str) -> ModelUrl {
    text.parse().unwrap()
}

fn spec(name: &str, pin: bool) -> ModelSpec {
    let mut spec = ModelSpec::new(name.parse().unwrap(), url(&format!("builtin:{name}")));
    spec.cache.pin = pin;
    spec
}

async fn put(desired: &InMemoryDesired, spec: ModelSpec) {
    let name = spec.name.clone();
    desired.update(&name, Box::new(|_| Ok(Some(spec)))).await.unwrap();
}

fn start(desired: &Arc<InMemoryDesired>, nodes: &Arc<Nodes>) -> JoinSet<()> {
    let (stocks, store) = (Arc::new(Board(nodes.clone())), Arc::new(Board(nodes.clone())));
    let writer = PinWriter::new(desired.clone(), stocks, store);
    let mut writing = JoinSet::new();
    writing.spawn(writer.run(CancellationToken::new()));
    writing
}

#[test]
fn all_files_of_a_pinned_model_are_pinned_and_no_others() {
    let draft = |name: &str| Draft { source: url(name), digest: None, tokens: None };
    let mut model = spec("m", true);
    model.adapters = vec![Adapter { name: "a".parse().unwrap(), source: url("builtin:adapter"), digest: None }];
    model.engine.draft = Some(draft("builtin:draft"));
    let engine = EngineSettings { draft: Some(draft("builtin:other")), ..EngineSettings::default() };
    model.rollout.canary = Some(Canary { weight: 10, engine });
    let urls = ["builtin:m", "builtin:adapter", "builtin:draft", "builtin:other"].map(url);
    assert_eq!(pinned([&model, &spec("n", false)].into_iter()), urls.into());
}

#[tokio::test(start_paused = true)]
async fn every_node_has_what_the_models_say() {
    let (desired, nodes) = (Arc::new(InMemoryDesired::new()), Nodes::new(&["a", "b"]));
    put(&desired, spec("m", true)).await;
    let _writing = start(&desired, &nodes);
    for node in ["a", "b"] {
        nodes.written(node, 1).await;
        assert_eq!(nodes.pins(node), [url("builtin:m")].into());
    }
    put(&desired, spec("m", false)).await;
    nodes.written("a", 2).await;
    assert_eq!(nodes.pins("a"), Pins::new());
    let name = "m".parse().unwrap();
    desired.update(&name, Box::new(|_| Ok(None))).await.unwrap();
    tokio::time::sleep(RETRY.most * 2).await;
    assert_eq!(nodes.writes.borrow().values().sum::<usize>(), 4, "who has them is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_them_and_one_that_comes_later_get_them() {
    let (desired, nodes) = (Arc::new(InMemoryDesired::new()), Nodes::new(&["a"]));
    put(&desired, spec("m", true)).await;
    let _writing = start(&desired, &nodes);
    nodes.written("a", 1).await;
    nodes.tell("a", Pins::new());
    nodes.written("a", 2).await;
    nodes.tell("b", Pins::new());
    nodes.written("b", 1).await;
    assert_eq!((nodes.pins("a").len(), nodes.pins("b").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_with_growing_waits() {
    let (desired, nodes) = (Arc::new(InMemoryDesired::new()), Nodes::new(&["a"]));
    *nodes.reachable.lock().unwrap() = false;
    put(&desired, spec("m", true)).await;
    let begun = Instant::now();
    let _writing = start(&desired, &nodes);
    for (times, seconds) in [(1, 0), (2, 1), (3, 3), (4, 7)] {
        nodes.written("a", times).await;
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
    *nodes.reachable.lock().unwrap() = true;
    nodes.written("a", 5).await;
    assert_eq!(nodes.pins("a"), [url("builtin:m")].into());
    tokio::time::sleep(RETRY.most * 2).await;
    assert_eq!(nodes.writes.borrow()[&"a".into()], 5);
}
