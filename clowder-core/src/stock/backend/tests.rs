use super::*;
use crate::ModelSpec;
use crate::store::FetchProgress;
use crate::testing::{InMemoryBackend, InMemoryDesired, backend, eventually, updates};
use tokio::sync::watch;

struct Board(watch::Sender<Arc<Stocks>>);

impl StockSource for Board {
    fn watch(&self) -> BoxStream<Arc<Stocks>> {
        updates(self.0.subscribe())
    }
}

impl Board {
    fn put(&self, node: &str, stock: Stock) {
        self.0.send_modify(|stocks| drop(Arc::make_mut(stocks).told.insert(node.into(), Arc::new(stock))));
    }
}

struct House {
    inner: Arc<InMemoryBackend>,
    board: Arc<Board>,
    backend: StockedBackend,
}

/// Nodes `a` and `b`, and a model `m` without workers.
async fn empty_house() -> House {
    let inner = Arc::new(InMemoryBackend::new(["a", "b"].map(|name| Node::with_memory(name, 1 << 30))));
    let desired = Arc::new(InMemoryDesired::new());
    let spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
    let name = spec.name.clone();
    desired.update(&name, Box::new(|_| Ok(Some(spec)))).await.unwrap();
    let board = Arc::new(Board(watch::channel(Arc::default()).0));
    let backend = StockedBackend::new(inner.clone(), desired, board.clone());
    House { inner, board, backend }
}

/// The same, and a worker of it on node `a` that fetches.
async fn house() -> House {
    let house = empty_house().await;
    let mut worker = Worker::new("m-0-0".parse().unwrap(), "m".parse().unwrap(), "a".into());
    worker.state = WorkerState::Fetching(FetchProgress::default());
    house.inner.insert(worker);
    house
}

fn fetching(bytes: u64) -> Stock {
    let progress = FetchProgress { bytes, total: Some(100), rate: 10 };
    Stock { incomplete: [("builtin:m".parse().unwrap(), progress)].into(), ..Stock::default() }
}

fn whole() -> Stock {
    Stock { complete: ["builtin:m".parse().unwrap()].into(), ..Stock::default() }
}

fn progress(inventory: &Inventory) -> u64 {
    match inventory.workers.values().next().unwrap().state {
        WorkerState::Fetching(progress) => progress.bytes,
        _ => panic!("it fetches"),
    }
}

#[tokio::test]
async fn it_is_a_backend_like_the_other() {
    let house = empty_house().await;
    let spec = ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
    backend::conformance(Arc::new(house.backend), spec).await;
}

#[tokio::test(start_paused = true)]
async fn inventories_say_what_the_nodes_have() {
    let house = house().await;
    let mut seen = house.backend.watch();
    assert_eq!(progress(&seen.next().await.unwrap()), 0, "nothing is known yet, and nothing is waited for");
    house.board.put("a", fetching(40));
    house.board.put("b", whole());
    let told = eventually(&mut seen, "the stock", |inventory| progress(inventory) == 40).await;
    let cached = |node: &str| told.nodes[&NodeName::from(node)].cached.len();
    assert_eq!((cached("a"), cached("b")), (0, 1));
    assert_eq!(*house.backend.inventory().await.unwrap(), *told);
    house.board.put("a", whole());
    let starts = |inventory: &Arc<Inventory>| inventory.workers.values().all(|w| w.state == WorkerState::Starting);
    eventually(&mut seen, "that nothing is left to fetch", starts).await;
}

#[tokio::test(start_paused = true)]
async fn progress_alone_is_told_once_a_second_and_the_last_state_always() {
    let house = house().await;
    let mut seen = house.backend.watch();
    house.board.put("a", fetching(1));
    seen.next().await.unwrap();
    let mut told = Vec::new();
    for bytes in 2..=50 {
        house.board.put("a", fetching(bytes));
        while let Some(Some(inventory)) = seen.next().now_or_never() {
            told.push(progress(&inventory));
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(told.len() <= 6, "{told:?}");
    eventually(&mut seen, "the last state", |inventory| progress(inventory) == 50).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_backend_says_is_told_at_once_and_what_is_the_same_is_not_made_again() {
    let house = house().await;
    house.board.put("b", whole());
    let mut seen = house.backend.watch();
    let first = seen.next().await.unwrap();
    house.inner.change(&"m-0-0".parse().unwrap(), |worker| worker.state = WorkerState::Starting);
    let second = seen.next().now_or_never().unwrap().unwrap();
    assert_eq!(second.workers.values().next().unwrap().state, WorkerState::Starting);
    let node = NodeName::from("b");
    assert!(Arc::ptr_eq(&first.nodes[&node], &second.nodes[&node]));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_can_have_no_models_takes_no_new_workers() {
    let house = house().await;
    let mut seen = house.backend.watch();
    let open = |inventory: &Inventory| inventory.nodes.values().map(|node| node.is_schedulable()).collect::<Vec<_>>();
    assert_eq!(open(&seen.next().await.unwrap()), [true, true], "while nobody knows");
    house.board.0.send_modify(|stocks| Arc::make_mut(stocks).keepers = Some(["a".into()].into()));
    let told = eventually(&mut seen, "that one is closed", |inventory| open(inventory) == [true, false]).await;
    assert_eq!(*house.backend.inventory().await.unwrap(), *told);
    house.board.0.send_modify(|stocks| Arc::make_mut(stocks).keepers = Some(["a".into(), "b".into()].into()));
    eventually(&mut seen, "that it is open again", |inventory| open(inventory) == [true, true]).await;
}
