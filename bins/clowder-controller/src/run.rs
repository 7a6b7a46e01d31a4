//! `clowder-controller run`: one of several controllers, of which one leads.

use crate::demand::GatewayDemands;
use crate::error::Error;
use crate::health::{self, Health};
use crate::metrics::{CountCalls, MeasuredBackend, MeasuredPlacement, Metrics};
use clowder_core::placement::MemoryFit;
use clowder_core::status::ModelStatuses;
use clowder_core::stock::StockedBackend;
use clowder_core::{Backend, Inventory, Reconciler, Secret};
use clowder_k8s::{BudgetWriter, KubernetesBackend, KubernetesDesired, StatusWriter, StorageManagers, WorkerTemplate};
use clowder_storage::Sources;
use clowder_storage::sources::{BuiltinSource, HubConfig, WebConfig};
use futures::StreamExt;
use kube::Client;
use kube::client::ClientBuilder;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The Lease that the leader holds.
const LEASE: &str = "clowder-controller";
/// How long a leader that is not heard of leads on, in seconds.
const LEASE_SECONDS: u64 = 15;
/// How long before its end it is renewed, in seconds.
const RENEWAL_SECONDS: u64 = 5;
/// The bundled model: its header is read here, its bytes come from the storage managers.
static KITTEN: &[u8] = include_bytes!("../../../models/kitten/kitten.gguf");

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
        let client = client(&metrics).await.map_err(Error::Config)?;
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let parts = self.parts(&client, &namespace, storage_token, &metrics);
        let (statuses_told, statuses) = watch::channel(None);
        let (inventory, _follower) = follow(parts.backend.as_ref());
        let health = health::router(Health { inventory, statuses, metrics: metrics.clone() });
        let _serving = AbortOnDropHandle::new(tokio::spawn(axum::serve(listener, health).into_future()));

        let lease = self.lease(client.clone(), &namespace).await?;
        let (mut leads, lease) = lease.watch().await;
        let leading = async {
            tracing::info!(namespace, lease = LEASE, "waiting to lead");
            if leads.wait_for(|leads| *leads).await.is_err() {
                return Err(Error::Ended);
            }
            tracing::info!(namespace, "leading");
            tokio::select! {
                outcome = lead(client, &namespace, parts, admin_token, &metrics, statuses_told) => outcome,
                // What it began goes on in the cluster; the next leader sees it.
                _ = leads.wait_for(|leads| !*leads) => Err(Error::Deposed),
            }
        };
        let outcome = tokio::select! {
            outcome = leading => outcome,
            _ = terminated.recv() => Ok(()),
            _ = interrupted.recv() => Ok(()),
        };
        // With no receiver left the manager gives the lease back, so that another leads at once.
        drop(leads);
        match lease.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not given back"),
            Err(error) => tracing::warn!(%error, "the lease was not given back"),
        }
        outcome
    }

    /// What is followed from the start, so that whoever comes to lead knows it.
    fn parts(&self, client: &Client, namespace: &str, storage_token: Option<Secret>, metrics: &Metrics) -> Parts {
        let desired = Arc::new(KubernetesDesired::new(client.clone(), namespace));
        let pods = KubernetesBackend::new(client.clone(), self.template(namespace)).owned_by(&desired);
        let managers = Arc::new(StorageManagers::follow(client.clone(), namespace, storage_token));
        let backend = StockedBackend::new(Arc::new(pods), desired.clone(), managers);
        Parts { desired, backend: Arc::new(MeasuredBackend::new(Arc::new(backend), metrics)) }
    }

    fn template(&self, namespace: &str) -> WorkerTemplate {
        let mut template = WorkerTemplate::new(namespace, &self.worker_image);
        template.token_secret.clone_from(&self.worker_token_secret);
        template.host_folder.clone_from(&self.worker_host_folder);
        template.priority_class.clone_from(&self.worker_priority_class);
        template.grace = Duration::from_secs(self.worker_grace_seconds);
        template
    }

    async fn lease(&self, client: Client, namespace: &str) -> Result<LeaseManager, Error> {
        let builder = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_duration(LEASE_SECONDS)
            .with_grace(RENEWAL_SECONDS);
        let builder = match &self.identity {
            Some(identity) => builder.with_identity(identity),
            None => builder,
        };
        builder.build().await.map_err(Error::cluster(format!("reading the Lease {LEASE}")))
    }
}

/// What the loop works on.
struct Parts {
    desired: Arc<KubernetesDesired>,
    backend: Arc<dyn Backend>,
}

/// A client of the cluster whose calls are counted.
async fn client(metrics: &Metrics) -> kube::Result<Client> {
    let config = kube::Config::infer().await.map_err(kube::Error::InferConfig)?;
    Ok(ClientBuilder::try_from(config)?.with_layer(&CountCalls::new(metrics)).build())
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
    namespace: &str,
    Parts { desired, backend }: Parts,
    admin_token: Option<Secret>,
    metrics: &Metrics,
    told: watch::Sender<Option<Arc<ModelStatuses>>>,
) -> Result<(), Error> {
    let sources = Sources::of_cluster(&WebConfig::default(), HubConfig::from_env());
    let sources = sources.map_err(Error::cluster("setting up the sources"))?;
    let sources = Arc::new(sources.with(BuiltinSource::new([("kitten", KITTEN)])));
    let placement = MeasuredPlacement::new(MemoryFit, metrics);
    let mut reconciler = Reconciler::new(desired.clone(), backend, Arc::new(placement), sources);
    if let Some(token) = admin_token {
        reconciler = reconciler.with_demand(Arc::new(GatewayDemands::follow(client.clone(), namespace, token)));
    }
    let mut statuses = reconciler.statuses();
    let budgets = BudgetWriter::new(client.clone(), &desired, reconciler.statuses());
    let writer = StatusWriter::new(client, &desired, reconciler.statuses());
    let telling = async {
        loop {
            told.send_replace(Some(statuses.borrow_and_update().clone()));
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
        () = telling => Err(Error::Ended),
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
