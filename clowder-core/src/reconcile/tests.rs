use super::*;
use crate::autoscale::Autoscaling;
use crate::demand::DemandBoard;
use crate::node::{Node, Openness};
use crate::placement::MemoryFit;
use crate::source::SourceError;
use crate::status::{ModelPhase, ModelStatus};
use crate::testing::{InMemoryBackend, InMemoryDesired, InMemorySource, eventually, tiny_adapter_gguf, tiny_gguf};
use crate::worker::WorkerState;
use crate::{ModelName, ModelUrl};
use tokio::task::JoinHandle;

mod companions;
mod trial;

struct Cluster {
    desired: Arc<InMemoryDesired>,
    backend: Arc<InMemoryBackend>,
    statuses: watch::Receiver<Arc<ModelStatuses>>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Cluster {
    fn start(backend: InMemoryBackend) -> Self {
        let url: ModelUrl = "builtin:m".parse().unwrap();
        let damaged: ModelUrl = "builtin:damaged".parse().unwrap();
        let mut cut = tiny_gguf(1);
        cut.truncate(1000);
        let adapter: ModelUrl = "builtin:adapter".parse().unwrap();
        let source = InMemorySource::new([(url, tiny_gguf(0)), (damaged, cut), (adapter, tiny_adapter_gguf())]);
        let (desired, backend) = (Arc::new(InMemoryDesired::new()), Arc::new(backend));
        let (store, runner): (Arc<dyn DesiredStore>, Arc<dyn Backend>) = (desired.clone(), backend.clone());
        let reconciler = Reconciler::new(store, runner, Arc::new(MemoryFit), Arc::new(source));
        let statuses = reconciler.statuses();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(reconciler.run(shutdown.clone()));
        Self { desired, backend, statuses, shutdown, running }
    }

    async fn want(&self, name: &str, url: &str, replicas: u32) {
        self.want_with(name, url, |spec| spec.replicas = replicas).await;
    }

    async fn want_with(&self, name: &str, url: &str, change: impl FnOnce(&mut ModelSpec)) {
        let name: ModelName = name.parse().unwrap();
        let mut spec = ModelSpec::new(name.clone(), url.parse().unwrap());
        change(&mut spec);
        self.desired.update(&name, Box::new(move |_| Ok(Some(spec)))).await.unwrap();
    }

    async fn until(&mut self, name: &str, what: &str, fits: impl Fn(&ModelStatus) -> bool) -> Arc<ModelStatus> {
        let name: ModelName = name.parse().unwrap();
        let stream = crate::testing::updates(self.statuses.clone());
        let statuses =
            eventually(stream, what, |statuses| statuses.get(&name).is_some_and(|status| fits(status))).await;
        statuses[&name].clone()
    }
}

fn one_node() -> InMemoryBackend {
    InMemoryBackend::new([Node::with_memory("a", 4 << 30)])
}

#[tokio::test]
async fn what_is_desired_comes_to_run_and_scales_and_goes() {
    let mut cluster = Cluster::start(one_node());
    cluster.want("m", "builtin:m", 2).await;
    let status = cluster.until("m", "ready", |status| status.phase == ModelPhase::Ready).await;
    assert_eq!(status.ready(), 2);
    assert_eq!(status.facts.as_ref().unwrap().architecture, "llama");
    cluster.want("m", "builtin:m", 1).await;
    cluster.until("m", "one worker", |status| status.workers.len() == 1).await;
    cluster.want("m", "builtin:m", 0).await;
    cluster.until("m", "idle", |status| status.phase == ModelPhase::Idle && status.workers.is_empty()).await;
    cluster.shutdown.cancel();
    cluster.running.await.unwrap();
}

#[tokio::test]
async fn a_lost_worker_is_replaced() {
    let mut cluster = Cluster::start(one_node());
    cluster.want("m", "builtin:m", 1).await;
    let status = cluster.until("m", "ready", |status| status.phase == ModelPhase::Ready).await;
    cluster.backend.lose_node(&"a".into());
    cluster.until("m", "no place", |status| status.reason.as_deref() == Some("there are no nodes")).await;
    cluster.backend.insert_node(Node::with_memory("b", 4 << 30));
    let again = cluster.until("m", "ready again", |status| status.phase == ModelPhase::Ready).await;
    assert_ne!(again.workers[0].node, status.workers[0].node);
}

#[tokio::test]
async fn workers_on_a_cordoned_node_move_for_as_long_as_others_are_on_their_way() {
    let mut cluster = Cluster::start(one_node().starting_in(WorkerState::Starting));
    cluster.want("m", "builtin:m", 1).await;
    let status = cluster.until("m", "started", |status| status.workers.len() == 1).await;
    let set = |cluster: &Cluster, worker: &WorkerId, state: WorkerState| {
        cluster.backend.change(worker, |worker| worker.state = state);
    };
    set(&cluster, &status.workers[0].id, WorkerState::Ready);
    cluster.backend.insert_node(Node { openness: Openness::Cordoned, ..Node::with_memory("a", 4 << 30) });
    let both = |status: &ModelStatus| status.moving && status.workers.len() == 2;
    cluster.backend.insert_node(Node::with_memory("b", 4 << 30));
    let status = cluster.until("m", "another one is started", both).await;
    assert_eq!((status.phase, status.ready()), (ModelPhase::Ready, 1));
    cluster.backend.lose_node(&"b".into());
    cluster.until("m", "no place", |status| !status.moving && status.workers.len() == 1).await;
    cluster.backend.insert_node(Node::with_memory("c", 4 << 30));
    let status = cluster.until("m", "another one is started again", both).await;
    let other = status.workers.iter().find(|worker| worker.node.as_str() == "c").unwrap();
    set(&cluster, &other.id, WorkerState::Failed { reason: "no such layer".into() });
    cluster.until("m", "not waited for", |status| !status.moving).await;
    set(&cluster, &other.id, WorkerState::Ready);
    let moved = cluster.until("m", "moved", |status| status.workers.len() == 1 && !status.moving).await;
    assert_eq!((&moved.workers[0].id, moved.phase), (&other.id, ModelPhase::Ready));
}

#[tokio::test]
async fn failures_are_told_with_their_reason() {
    let mut cluster = Cluster::start(one_node().starting_in(WorkerState::Failed { reason: "no such layer".into() }));
    cluster.want("absent", "builtin:none", 1).await;
    cluster.want("damaged", "builtin:damaged", 1).await;
    cluster.want("m", "builtin:m", 1).await;
    let absent = cluster.until("absent", "failed", |status| status.phase == ModelPhase::Failed).await;
    assert_eq!(absent.reason.as_deref(), Some("builtin:none does not exist"));
    let damaged = cluster.until("damaged", "failed", |status| status.phase == ModelPhase::Failed).await;
    assert!(damaged.reason.as_deref().unwrap().contains("cut off"), "{:?}", damaged.reason);
    let failed = cluster.until("m", "failed", |status| status.phase == ModelPhase::Failed).await;
    assert_eq!(failed.reason.as_deref(), Some("no such layer"));
}

#[tokio::test]
async fn memory_that_is_given_needs_no_header_and_a_refusal_is_told_all_the_same() {
    let mut cluster = Cluster::start(one_node());
    cluster.want_with("fits", "builtin:none", |spec| spec.memory = Some(1 << 30)).await;
    let status = cluster.until("fits", "ready", |status| status.phase == ModelPhase::Ready).await;
    assert_eq!((status.memory, status.workers[0].memory), (Some(1 << 30), 1 << 30));
    assert_eq!(status.facts, None);
    cluster.want_with("large", "builtin:none", |spec| spec.memory = Some(8 << 30)).await;
    let refused = Some("builtin:none does not exist");
    let status = cluster.until("large", "refused", |status| status.reason.as_deref() == refused).await;
    assert_eq!((status.phase, status.memory), (ModelPhase::Failed, Some(8 << 30)));
    cluster.want_with("known", "builtin:m", |spec| spec.memory = Some(2 << 30)).await;
    let known = |status: &ModelStatus| status.phase == ModelPhase::Ready && status.facts.is_some();
    let status = cluster.until("known", "ready, with facts", known).await;
    assert_eq!(
        (status.memory, status.workers[0].memory),
        (Some(2 << 30), 2 << 30),
        "what is asked for, not the estimate"
    );
}

/// Says whom it was asked to place, and places nobody.
struct Asked(watch::Sender<Vec<String>>);

impl Placement for Asked {
    fn plan(&self, wanted: &[Wanted], _: &Inventory) -> Plan {
        self.0.send_replace(wanted.iter().map(|wanted| wanted.spec.name.to_string()).collect());
        Plan::default()
    }
}

#[tokio::test]
async fn the_larger_priority_is_first_in_line_and_then_the_name() {
    let (asked, order) = watch::channel(Vec::new());
    let desired = Arc::new(InMemoryDesired::new());
    let source = InMemorySource::new([]);
    let reconciler = Reconciler::new(desired.clone(), Arc::new(one_node()), Arc::new(Asked(asked)), Arc::new(source));
    let shutdown = CancellationToken::new();
    let cluster = Cluster {
        desired,
        backend: Arc::new(one_node()),
        statuses: reconciler.statuses(),
        running: tokio::spawn(reconciler.run(shutdown.clone())),
        shutdown,
    };
    for (name, priority) in [("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)] {
        cluster.want_with(name, "builtin:m", |spec| spec.priority = priority).await;
    }
    let all = |order: &Vec<String>| order.len() == 5;
    let order = eventually(crate::testing::updates(order), "all of them", all).await;
    assert_eq!(order, ["b", "d", "a", "e", "c"]);
    cluster.shutdown.cancel();
    cluster.running.await.unwrap();
}

/// A source of `builtin:m` that asks `gate` before it resolves.
struct Gated<F> {
    gate: F,
    source: InMemorySource,
}

fn gated<F>(gate: F) -> Gated<F>
where
    F: Fn(&ModelUrl, Option<&Credentials>) -> Result<(), SourceError>,
{
    Gated { gate, source: InMemorySource::new([("builtin:m".parse().unwrap(), tiny_gguf(0))]) }
}

#[async_trait::async_trait]
impl<F> ModelSource for Gated<F>
where
    F: Fn(&ModelUrl, Option<&Credentials>) -> Result<(), SourceError> + Send + Sync,
{
    fn serves(&self, url: &ModelUrl) -> bool {
        self.source.serves(url)
    }

    async fn resolve(
        &self,
        url: &ModelUrl,
        credentials: Option<&Credentials>,
    ) -> Result<crate::source::Manifest, SourceError> {
        (self.gate)(url, credentials)?;
        self.source.resolve(url, credentials).await
    }

    async fn read(
        &self,
        file: &crate::source::SourceFile,
        range: std::ops::Range<u64>,
        credentials: Option<&Credentials>,
    ) -> Result<crate::BoxStream<Result<bytes::Bytes, SourceError>>, SourceError> {
        self.source.read(file, range, credentials).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_again() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let source = gated(move |url, _| match first.swap(false, std::sync::atomic::Ordering::SeqCst) {
        true => Err(SourceError::Unreachable { what: url.to_string(), source: "refused".into() }),
        false => Ok(()),
    });
    let desired = Arc::new(InMemoryDesired::new());
    let reconciler = Reconciler::new(desired.clone(), Arc::new(one_node()), Arc::new(MemoryFit), Arc::new(source));
    let mut cluster = Cluster {
        desired,
        backend: Arc::new(one_node()),
        statuses: reconciler.statuses(),
        shutdown: CancellationToken::new(),
        running: tokio::spawn(reconciler.run(CancellationToken::new())),
    };
    cluster.want("m", "builtin:m", 1).await;
    let refused = cluster.until("m", "refused", |status| status.reason.is_some()).await;
    assert_eq!(refused.reason.as_deref(), Some("builtin:m cannot be reached: refused"));
    cluster.until("m", "ready", |status| status.phase == ModelPhase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn credentials_are_judged_each_for_themselves() {
    let source = gated(|url, credentials| match credentials {
        Some(_) => Ok(()),
        None => Err(SourceError::Denied { what: url.to_string(), hint: "no token".to_owned() }),
    });
    let (desired, backend) = (Arc::new(InMemoryDesired::new()), Arc::new(one_node()));
    let reconciler = Reconciler::new(desired.clone(), backend.clone(), Arc::new(MemoryFit), Arc::new(source))
        .with_backoff(Backoff { first: Duration::MAX, most: Duration::from_secs(1 << 30) });
    let statuses = reconciler.statuses();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(reconciler.run(shutdown.clone()));
    let mut cluster = Cluster { desired, backend, statuses, shutdown, running };
    cluster.want("a", "builtin:m", 1).await;
    cluster.until("a", "denied", |status| status.phase == ModelPhase::Failed).await;

    let with_token = |name: &str| {
        let mut spec = ModelSpec::new(name.parse().unwrap(), "builtin:m".parse().unwrap());
        spec.credentials = Some(Credentials::bearer("t"));
        spec
    };
    let other = with_token("b");
    cluster.desired.update(&other.name.clone(), Box::new(|_| Ok(Some(other)))).await.unwrap();
    cluster.until("b", "ready beside the one denied", |status| status.phase == ModelPhase::Ready).await;
    let mended = with_token("a");
    cluster.desired.update(&mended.name.clone(), Box::new(|_| Ok(Some(mended)))).await.unwrap();
    // At once: what was refused without the token is not waited for.
    let before = Instant::now();
    cluster.until("a", "ready with the token", |status| status.phase == ModelPhase::Ready).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn crashes_in_a_row_are_a_failure_and_old_ones_are_not() {
    let mut cluster = Cluster::start(one_node());
    cluster.want("m", "builtin:m", 1).await;
    let status = cluster.until("m", "ready", |status| status.phase == ModelPhase::Ready).await;
    let crash = |wait: u64| {
        cluster.backend.change(&status.workers[0].id, |worker| {
            worker.restarts = 9;
            worker.state = WorkerState::Backoff { reason: "killed".into(), retry_at_ms: 1_000 + wait };
            worker.last_exit = Some(crate::worker::LastExit { reason: "killed".into(), at_ms: 1_000 });
        });
    };
    crash(200);
    let statuses = cluster.statuses.clone();
    let until = async |what: &str, phase: ModelPhase| {
        let stream = crate::testing::updates(statuses.clone());
        eventually(stream, what, |statuses| statuses.values().all(|status| status.phase == phase)).await;
    };
    until("starting again", ModelPhase::Starting).await;
    crash(8_000);
    until("failed", ModelPhase::Failed).await;
}

#[test]
fn a_worker_that_failed_is_told_of_other_credentials_once() {
    let mut spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
    spec.credentials = Some(Credentials::bearer("new"));
    let mut worker = Worker::new(WorkerId::nth(&spec.name, spec.revision(), 0), spec.name.clone(), "a".into());
    worker.revision = spec.revision();
    worker.state = WorkerState::Failed { reason: "denied".into() };
    let id = worker.id.clone();
    let observed = |worker: &Worker| {
        let workers = [(id.clone(), Arc::new(worker.clone()))].into();
        Inventory { workers, ..Inventory::default() }
    };
    let record = crate::desired::DesiredModel { spec: Arc::new(spec.clone()), generation: 2 };
    let desired: DesiredModels = [(spec.name.clone(), record)].into();
    let mut memory = Memory::default();
    memory.credentials.insert(id.clone(), Some(Credentials::bearer("old")));
    let corrections = memory.corrections(&desired, &observed(&worker), &Plan::default());
    assert!(matches!(&corrections[..], [Action::Start(start)] if start.spec.credentials == spec.credentials));
    memory.credentials.insert(id.clone(), spec.credentials.clone());
    assert_eq!(memory.corrections(&desired, &observed(&worker), &Plan::default()), []);
    memory.credentials.insert(id.clone(), Some(Credentials::bearer("old")));
    worker.state = WorkerState::Ready;
    assert_eq!(memory.corrections(&desired, &observed(&worker), &Plan::default()), [], "one that serves has its bytes");
}

#[tokio::test]
async fn without_a_demand_workers_that_are_replaced_are_not_taken_for_more() {
    let mut cluster = Cluster::start(InMemoryBackend::new(["a", "b"].map(|name| Node::with_memory(name, 4 << 30))));
    let scaled = |slots: u32| {
        move |spec: &mut ModelSpec| {
            spec.autoscaling = Some(Autoscaling { min: 1, max: 9, ..Autoscaling::default() });
            spec.engine.slots = Some(slots);
        }
    };
    cluster.want_with("m", "builtin:m", scaled(1)).await;
    let status = cluster.until("m", "ready", |status| status.phase == ModelPhase::Ready).await;
    let (first, node) = (status.workers[0].id.clone(), status.workers[0].node.clone());
    cluster.backend.insert_node(Node { openness: Openness::Cordoned, ..Node::with_memory(node, 4 << 30) });
    let moved = |status: &ModelStatus| !status.moving && status.workers.iter().all(|worker| worker.id != first);
    let status = cluster.until("m", "moved", moved).await;
    assert_eq!((status.workers.len(), status.spec.replicas), (1, 1));
    cluster.want_with("m", "builtin:m", scaled(2)).await;
    let status =
        cluster.until("m", "replaced", |status| status.phase == ModelPhase::Ready && status.generation == 2).await;
    assert_eq!((status.workers.len(), status.spec.replicas), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_model_wakes_with_its_first_request_and_sleeps_after_its_last() {
    let source = gated(|_, _| Ok(()));
    let (desired, backend, board) = (Arc::new(InMemoryDesired::new()), Arc::new(one_node()), DemandBoard::new());
    let reconciler = Reconciler::new(desired.clone(), backend.clone(), Arc::new(MemoryFit), Arc::new(source))
        .with_demand(Arc::new(board.clone()));
    let statuses = reconciler.statuses();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(reconciler.run(shutdown.clone()));
    let mut cluster = Cluster { desired, backend, statuses, shutdown, running };
    let mut spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
    spec.autoscaling = Some(Autoscaling { min: 0, max: 2, target: 1, scale_down_delay: 20 });
    let name = spec.name.clone();
    cluster.desired.update(&name, Box::new(|_| Ok(Some(spec)))).await.unwrap();
    cluster.until("m", "asleep", |status| status.phase == ModelPhase::Idle).await;

    let requests = [board.enter(name.clone()), board.enter(name.clone()), board.enter(name.clone())];
    let awake = cluster.until("m", "awake", |status| status.ready() == 2).await;
    assert_eq!((awake.phase, awake.spec.replicas), (ModelPhase::Ready, 2), "no more than the most");
    let before = Instant::now();
    drop(requests);
    cluster.until("m", "asleep again", |status| status.phase == ModelPhase::Idle && status.workers.is_empty()).await;
    assert_eq!(before.elapsed(), Duration::from_secs(20), "after the delay");
}

/// Models `first` and `second`, both asleep, where there is room for one worker.
async fn room_for_one() -> (Cluster, Arc<DemandBoard>) {
    let (desired, board) = (Arc::new(InMemoryDesired::new()), DemandBoard::new());
    // Room for one worker.
    let backend = Arc::new(InMemoryBackend::new([Node::with_memory("a", 100 << 20)]));
    let reconciler =
        Reconciler::new(desired.clone(), backend.clone(), Arc::new(MemoryFit), Arc::new(gated(|_, _| Ok(()))))
            .with_demand(Arc::new(board.clone()));
    let statuses = reconciler.statuses();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(reconciler.run(shutdown.clone()));
    let mut cluster = Cluster { desired, backend, statuses, shutdown, running };
    for name in ["first", "second"] {
        let mut spec = ModelSpec::new(name.parse().unwrap(), "builtin:m".parse().unwrap());
        spec.autoscaling = Some(Autoscaling { min: 0, max: 1, target: 1, scale_down_delay: 1000 });
        cluster.desired.update(&spec.name.clone(), Box::new(|_| Ok(Some(spec)))).await.unwrap();
        cluster.until(name, "asleep", |status| status.phase == ModelPhase::Idle).await;
    }
    (cluster, board)
}

#[tokio::test(start_paused = true)]
async fn a_model_that_wakes_takes_the_memory_of_one_that_lingers() {
    let (mut cluster, board) = room_for_one().await;
    let before = Instant::now();
    let request = board.enter("first".parse().unwrap());
    cluster.until("first", "awake", |status| status.ready() == 1).await;
    let waiting = board.enter("second".parse().unwrap());
    let told = cluster.until("second", "told that there is no room", |status| status.reason.is_some()).await;
    assert!(told.reason.as_deref().unwrap().contains("no node has more than"), "{told:?}");
    drop(request);
    cluster.until("second", "awake", |status| status.ready() == 1).await;
    let gone = cluster.until("first", "asleep again", |status| status.workers.is_empty()).await;
    assert_eq!((gone.phase, gone.spec.replicas), (ModelPhase::Idle, 0), "what made room is not missed");
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits for the delay");
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_was_asked_for_wakes_though_nobody_waits_any_more() {
    let (mut cluster, board) = room_for_one().await;
    let request = board.enter("first".parse().unwrap());
    cluster.until("first", "awake", |status| status.ready() == 1).await;
    let waiting = board.enter("second".parse().unwrap());
    cluster.until("second", "told that there is no room", |status| status.reason.is_some()).await;
    drop(waiting);
    drop(request);
    cluster.until("second", "awake", |status| status.ready() == 1).await;
}
