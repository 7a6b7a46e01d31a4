//! What the tests stand on: a gateway on a loopback port over in-memory collaborators, and workers that do what they are
//! told.

#![allow(dead_code, unused_imports, reason = "each test binary uses a part")]

mod worker;

pub(crate) use worker::{FakeWorker, Step, chat_answer, json, sse};

use clowder_balancer::{Auth, Collaborators, Gateway, GatewayConfig};
use clowder_core::backend::Backend as _;
use clowder_core::demand::DemandBoard;
use clowder_core::desired::DesiredStore as _;
use clowder_core::status::{ModelPhase, ModelStatus, ModelStatuses};
use clowder_core::testing::{InMemoryBackend, InMemoryDesired, InMemoryStore, PATIENCE};
use clowder_core::{ModelName, ModelSpec, Node, Secret, Worker, WorkerId, WorkerState};
use futures::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const ADMIN: &str = "admin-token-of-the-test";

/// A gateway that serves.
pub(crate) struct House {
    pub(crate) base: String,
    pub(crate) backend: Arc<InMemoryBackend>,
    pub(crate) desired: Arc<InMemoryDesired>,
    pub(crate) statuses: watch::Sender<Arc<ModelStatuses>>,
    pub(crate) demand: Arc<DemandBoard>,
    pub(crate) http: reqwest::Client,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
}

impl House {
    /// One with the default configuration and an admin token.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// One with nodes `a` and `b` and a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        let backend = Arc::new(InMemoryBackend::new(["a", "b"].map(|name| Node::with_memory(name, 1 << 30))));
        let desired = Arc::new(InMemoryDesired::new());
        let statuses = watch::Sender::new(Arc::default());
        let auth = Auth { admin_token: Some(Secret::new(ADMIN)), ..Auth::default() };
        let mut config = GatewayConfig { auth, ..GatewayConfig::default() };
        config.timeouts.backoff = std::time::Duration::from_millis(10);
        change(&mut config);
        let demand = DemandBoard::new();
        let parts = Collaborators {
            backend: backend.clone(),
            desired: desired.clone(),
            statuses: statuses.subscribe(),
            store: Arc::new(InMemoryStore::new("a".into(), [])),
            demand: demand.clone(),
        };
        let gateway = Gateway::new(config, parts).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let served = tokio::spawn(gateway.serve(listener, stop.clone().cancelled_owned()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base, backend, desired, statuses, demand, http, stop, served }
    }

    /// Records a model of this name.
    pub(crate) async fn deploy(&self, model: &str) {
        let name: ModelName = model.parse().unwrap();
        let spec = ModelSpec::new(name.clone(), format!("builtin:{model}").parse().unwrap());
        self.desired.update(&name, Box::new(|_| Ok(Some(spec)))).await.unwrap();
        self.until(|models| models.iter().any(|view| view["name"] == model)).await;
    }

    /// A ready worker of a model, at an endpoint.
    pub(crate) fn worker(&self, id: &str, model: &str, endpoint: &str) -> WorkerId {
        self.worker_with(id, model, endpoint, |_| {})
    }

    /// The same, changed before it is shown.
    pub(crate) fn worker_with(
        &self,
        id: &str,
        model: &str,
        endpoint: &str,
        change: impl FnOnce(&mut Worker),
    ) -> WorkerId {
        let mut worker = Worker::new(id.parse().unwrap(), model.parse().unwrap(), "a".into());
        worker.state = WorkerState::Ready;
        worker.endpoint = Some(endpoint.to_owned());
        worker.slots = 4;
        change(&mut worker);
        let id = worker.id.clone();
        self.backend.insert(worker);
        id
    }

    /// Publishes a status of a model, with the workers there are.
    pub(crate) async fn fares(&self, model: &str, phase: ModelPhase, reason: Option<&str>) {
        let name: ModelName = model.parse().unwrap();
        let record = self.desired.list().await.unwrap()[&name].clone();
        let inventory = self.backend.inventory().await.unwrap();
        let status = ModelStatus {
            spec: record.spec,
            generation: record.generation,
            phase,
            reason: reason.map(str::to_owned),
            facts: None,
            memory: None,
            workers: inventory.workers.values().filter(|worker| worker.model == name).cloned().collect(),
            moving: false,
        };
        self.statuses.send_modify(|all| drop(Arc::make_mut(all).insert(name, Arc::new(status))));
        let phase = serde_json::to_value(phase).unwrap();
        self.until(|models| models.iter().any(|view| view["name"] == model && view["phase"] == phase)).await;
    }

    /// A model with a worker that is told what to do.
    pub(crate) async fn serving(&self, model: &str, worker: &FakeWorker) {
        self.deploy(model).await;
        self.worker(&format!("{model}-0-0"), model, &worker.url());
        self.until(|models| models.iter().any(|view| view["name"] == model && view["ready"] == 1)).await;
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<String>) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base)).body(body.into())
    }

    /// A call of the operational API.
    pub(crate) fn operate(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(ADMIN)
    }

    /// A chat request, not sent yet.
    pub(crate) fn chat(&self, model: &str, stream: bool) -> reqwest::RequestBuilder {
        let body = format!(r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}]}}"#);
        self.post("/v1/chat/completions", body)
    }

    pub(crate) async fn status(&self) -> Value {
        self.operate(reqwest::Method::GET, "/status").send().await.unwrap().json().await.unwrap()
    }

    /// Waits until the gateway shows models that fit.
    pub(crate) async fn until(&self, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let response = self.operate(reqwest::Method::GET, "/events").send().await.unwrap();
        let mut events = response.bytes_stream();
        let mut text = String::new();
        let search = async {
            while let Some(chunk) = events.next().await {
                text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
                while let Some((event, rest)) = text.split_once("\n\n") {
                    let models: Option<Vec<Value>> =
                        event.strip_prefix("event: models\ndata: ").map(|models| serde_json::from_str(models).unwrap());
                    text = rest.to_owned();
                    if let Some(models) = models.filter(|models| fits(models)) {
                        return models;
                    }
                }
            }
            panic!("the events ended");
        };
        timeout(PATIENCE, search).await.expect("models that fit")
    }
}
