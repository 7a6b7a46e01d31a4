//! `clowder-controller run`: one of several controllers, of which one leads.

use crate::demand::GatewayDemands;
use crate::error::Error;
use crate::health::{self, Health, HeardNow};
use crate::leadership::{Leadership, NoteRenewals};
use crate::machines::RemoteInfra;
use crate::metrics::{CountCalls, MeasuredBackend, MeasuredPlacement, Metrics};
use clowder_core::placement::MemoryFit;
use clowder_core::status::ModelStatuses;
use clowder_core::stock::StockedBackend;
use clowder_core::{Backend, Infra, Inventory, NodeName, PinWriter, Reconciler, Secret};
use clowder_k8s::{BudgetWriter, KubernetesBackend, KubernetesDesired, StatusWriter, StorageManagers, WorkerTemplate};
use clowder_storage::Sources;
use clowder_storage::client::Managers;
use clowder_storage::sources::{BuiltinSource, HubConfig, WebConfig};
use futures::StreamExt;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use reqwest::Url;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The bundled model: its header is read here, its bytes come from the storage managers.
static KITTEN: &[u8] = include_bytes!("../../../models/kitten/kitten.gguf");

/// The longest that a machine may stay without a worker, in seconds: a year.
const LONGEST_IDLE: u64 = 365 * 86_400;

/// Runs a controller
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The namespace of the installation [default: the one this runs in]
    #[arg(long, value_name = "NAME", env = "CLOWDER_NAMESPACE")]
    namespace: Option<String>,
    /// The image that workers run
    #[arg(long, value_name = "IMAGE", env = "CLOWDER_WORKER_IMAGE")]
    worker_image: String,
    /// The Secret with the tokens of workers and storage managers
    #[arg(long, value_name = "NAME", env = "CLOWDER_WORKER_TOKEN_SECRET", default_value = "clowder-tokens")]
    worker_token_secret: String,
    /// The folder of a node that holds the models
    #[arg(long, value_name = "FOLDER", env = "CLOWDER_WORKER_HOST_FOLDER", default_value = "/var/lib/clowder")]
    worker_host_folder: String,
    /// The priority class of workers
    #[arg(long, value_name = "NAME", env = "CLOWDER_WORKER_PRIORITY_CLASS")]
    worker_priority_class: Option<String>,
    /// How long a worker may finish what it has, in seconds
    #[arg(long, value_name = "SECONDS", env = "CLOWDER_WORKER_GRACE_SECONDS", default_value_t = 600)]
    worker_grace_seconds: u64,
    /// File with the gateways' admin token; without it, models under autoscaling do not follow their demand
    #[arg(long, value_name = "FILE", env = "CLOWDER_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
    /// File with the token that storage managers ask for; without it, models are placed without regard to where their files
    /// are, and nobody is told how far a fetch is
    #[arg(long, value_name = "FILE", env = "CLOWDER_STORAGE_TOKEN_FILE")]
    storage_token_file: Option<PathBuf>,
    /// The program that keeps the cluster's machines, such as an Oxide controller: it is asked for more where models do not
    /// fit, and for fewer where machines are idle
    #[arg(long, value_name = "URL", env = "CLOWDER_INFRA_URL")]
    infra_url: Option<String>,
    /// File with the token that it asks for
    #[arg(long, value_name = "FILE", env = "CLOWDER_INFRA_TOKEN_FILE", requires = "infra_url")]
    infra_token_file: Option<PathBuf>,
    /// How long a machine stays that has no worker, in seconds
    #[arg(long, value_name = "SECONDS", env = "CLOWDER_INFRA_IDLE_SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u64).range(..=LONGEST_IDLE))]
    infra_idle_seconds: u64,
    /// Name of this controller among its equals [default: the machine's]
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    identity: Option<String>,
    /// Where /health and /metrics are
    #[arg(long, value_name = "HOST:PORT", env = "CLOWDER_HEALTH_ADDRESS", default_value = "127.0.0.1:8081")]
    health_address: SocketAddr,
}

impl Run {
    /// Runs until SIGTERM; leads while it holds the Lease.
    pub(crate) async fn run(self) -> Result<(), Error> {
        let listen = |kind| signal(kind).map_err(Error::starting("listening for signals"));
        let (mut terminated, mut interrupted) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let listener = TcpListener::bind(self.health_address)
            .await
            .map_err(|source| Error::Listen { address: self.health_address, source })?;
        let token = |file: &Option<PathBuf>| file.as_deref().map(read_token).transpose();
        let (admin_token, storage_token) = (token(&self.admin_token_file)?, token(&self.storage_token_file)?);
        let metrics = Metrics::default();
        let config = Config::infer().await.map_err(|error| Error::Config(kube::Error::InferConfig(error)))?;
        let client = client(&config, &metrics).map_err(Error::Config)?;
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let machines = self.machines()?;
        let (parts, feeds) = self.parts(&client, &namespace, admin_token, storage_token, machines, &metrics);
        let (statuses_told, statuses) = watch::channel(None);
        let (inventory, _follower) = follow(parts.backend.as_ref());
        let health = health::router(Health { inventory, statuses, feeds, metrics: metrics.clone() });
        let _serving = AbortOnDropHandle::new(tokio::spawn(axum::serve(listener, health).into_future()));

        let client_of_lease = |notes: NoteRenewals| {
            let builder = ClientBuilder::try_from(Leadership::config(&config))?;
            Ok(builder.with_layer(&CountCalls::new(&metrics)).with_layer(&notes).build())
        };
        let leadership = Leadership::new(client_of_lease, &namespace, self.identity.as_deref()).await?;
        let lead = || lead(client.clone(), &parts, &metrics, &statuses_told);
        let outcome = tokio::select! {
            outcome = leadership.follow(lead) => outcome,
            _ = terminated.recv() => Ok(()),
            _ = interrupted.recv() => Ok(()),
        };
        leadership.give_back().await;
        outcome
    }

    /// What is followed from the start, so that whoever comes to lead knows it.
    fn parts(
        &self,
        client: &Client,
        namespace: &str,
        admin_token: Option<Secret>,
        storage_token: Option<Secret>,
        machines: Option<Arc<dyn Infra>>,
        metrics: &Metrics,
    ) -> (Parts, Vec<(&'static str, HeardNow)>) {
        let desired = Arc::new(KubernetesDesired::new(client.clone(), namespace));
        let pods = KubernetesBackend::new(client.clone(), self.template(namespace)).owned_by(&desired);
        let managers = Arc::new(StorageManagers::follow(client.clone(), namespace, storage_token.clone()));
        let backend = StockedBackend::new(Arc::new(pods), desired.clone(), managers.clone());
        let directory = managers.clone();
        let store = Managers::new(Arc::new(move |node: &NodeName| directory.base(node)), storage_token);
        let pins = Pins { told: managers.clone(), store: Arc::new(store) };
        let backend = Arc::new(MeasuredBackend::new(Arc::new(backend), metrics));
        let demand = admin_token.map(|token| Arc::new(GatewayDemands::follow(client.clone(), namespace, token)));
        let mut feeds: Vec<(&'static str, HeardNow)> = vec![("storage", Arc::new(move || managers.heard()))];
        if let Some(demand) = demand.clone() {
            feeds.push(("gateway", Arc::new(move || demand.heard())));
        }
        let idle = Duration::from_secs(self.infra_idle_seconds);
        (Parts { desired, backend, pins, demand, machines, idle }, feeds)
    }

    /// Who keeps the machines, where anybody does.
    fn machines(&self) -> Result<Option<Arc<dyn Infra>>, Error> {
        let Some(text) = &self.infra_url else { return Ok(None) };
        let url: Url = text.parse().map_err(|_| Error::InfraUrl("write http://HOST:PORT or https://HOST"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(Error::InfraUrl(
                "write http://HOST:PORT or https://HOST, and the token into --infra-token-file",
            ));
        }
        let token = self.infra_token_file.as_deref().map(read_token).transpose()?;
        let infra = RemoteInfra::new(url, token).map_err(Error::cluster("setting up the client of --infra-url"))?;
        Ok(Some(Arc::new(infra)))
    }

    fn template(&self, namespace: &str) -> WorkerTemplate {
        let mut template = WorkerTemplate::new(namespace, &self.worker_image);
        template.token_secret.clone_from(&self.worker_token_secret);
        template.host_folder.clone_from(&self.worker_host_folder);
        template.priority_class.clone_from(&self.worker_priority_class);
        template.grace = Duration::from_secs(self.worker_grace_seconds);
        template
    }
}

/// What the loop works on.
struct Parts {
    desired: Arc<KubernetesDesired>,
    backend: Arc<dyn Backend>,
    pins: Pins,
    demand: Option<Arc<GatewayDemands>>,
    machines: Option<Arc<dyn Infra>>,
    /// How long a machine stays that has no worker.
    idle: Duration,
}

/// The storage managers: what they tell of their pins, and where to write them.
struct Pins {
    told: Arc<StorageManagers>,
    store: Arc<Managers>,
}

/// A client of the cluster whose calls are counted.
fn client(config: &Config, metrics: &Metrics) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config.clone())?.with_layer(&CountCalls::new(metrics)).build())
}

/// What the backend observes, for those who look now and then.
fn follow(backend: &dyn Backend) -> (watch::Receiver<Option<Arc<Inventory>>>, AbortOnDropHandle<()>) {
    let (told, inventory) = watch::channel(None);
    let mut inventories = backend.watch();
    let following = tokio::spawn(async move {
        while let Some(inventory) = inventories.next().await {
            told.send_replace(Some(inventory));
        }
    });
    (inventory, AbortOnDropHandle::new(following))
}

/// The loop, and the statuses of the models as it sees them.
async fn lead(
    client: Client,
    Parts { desired, backend, pins, demand, machines, idle }: &Parts,
    metrics: &Metrics,
    told: &watch::Sender<Option<Arc<ModelStatuses>>>,
) -> Result<(), Error> {
    let sources = Sources::of_cluster(&WebConfig::default(), HubConfig::from_env());
    let sources = sources.map_err(Error::cluster("setting up the sources"))?;
    let sources = Arc::new(sources.with(BuiltinSource::new([("kitten", KITTEN)])));
    let placement = MeasuredPlacement::new(MemoryFit, metrics);
    let mut reconciler = Reconciler::new(desired.clone(), backend.clone(), Arc::new(placement), sources);
    if let Some(demand) = demand {
        reconciler = reconciler.with_demand(demand.clone());
    }
    if let Some(machines) = machines {
        reconciler = reconciler.with_infra(machines.clone()).with_idle_machines(*idle);
    }
    let mut statuses = reconciler.statuses();
    let budgets = BudgetWriter::new(client.clone(), desired, reconciler.statuses());
    let pins = PinWriter::new(desired.clone(), pins.told.clone(), pins.store.clone());
    let writer = StatusWriter::new(client, desired, reconciler.statuses());
    let told = Told(told);
    let telling = async {
        loop {
            told.0.send_replace(Some(statuses.borrow_and_update().clone()));
            if statuses.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    // Nobody cancels it: whoever stops leading drops all of this.
    let lasting = CancellationToken::new();
    tokio::select! {
        () = reconciler.run(lasting.clone()) => Err(Error::Ended),
        () = writer.run(lasting.clone()) => Err(Error::Ended),
        () = budgets.run(lasting.clone()) => Err(Error::Ended),
        () = pins.run(lasting.clone()) => Err(Error::Ended),
        () = telling => Err(Error::Ended),
    }
}

/// What is told of the models while this one leads: nothing once it does not.
struct Told<'a>(&'a watch::Sender<Option<Arc<ModelStatuses>>>);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

fn read_token(path: &Path) -> Result<Secret, Error> {
    let failed = |source| Error::Token { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    match text.trim() {
        "" => Err(failed(std::io::Error::other("it is empty"))),
        token => Ok(Secret::new(token)),
    }
}
