//! The parts of a server, from start to end.

use super::lock::HomeLock;
use super::{ServeError, storage};
use crate::home::Home;
use clowder_balancer::{AdminToken, Auth, Collaborators, Gateway, GatewayConfig, PolicyKind, check_exposure};
use clowder_core::demand::DemandBoard;
use clowder_core::placement::MemoryFit;
use clowder_core::status::ModelStatuses;
use clowder_core::{Backend, DesiredStore, ModelSpec, ModelStore, PinWriter, Reconciler, Secret};
use clowder_runtime::local::{DesiredFile, LocalBackend, LocalConfig, WorkerCommand};
use clowder_storage::CachedSource;
use futures::future::OptionFuture;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a server is told.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it serves from its first start on.
    pub(crate) first_model: Option<ModelSpec>,
    /// Which worker gets a request.
    pub(crate) policy: PolicyKind,
    /// What opens `/v1`; none leaves it open to this machine.
    pub(crate) api_keys: Vec<Secret>,
    /// Host names that an open `/v1` answers to.
    pub(crate) allowed_hosts: Vec<String>,
    /// Which cache it uses.
    pub(crate) cache: CacheFolder,
    /// Bytes of memory that workers may take.
    pub(crate) memory: Option<u64>,
    /// How long requests may go on after the end was asked for.
    pub(crate) drain: Duration,
}

/// The cache that a server uses.
#[derive(Clone, Debug)]
pub(crate) enum CacheFolder {
    /// Its home's.
    Home,
    /// That of this folder.
    At(PathBuf),
    /// That of this folder, which is another server's: what is pinned in it is not this one's to say.
    Borrowed(PathBuf),
}

impl Options {
    /// The usual ones, without a first model.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            first_model: None,
            policy: PolicyKind::default(),
            api_keys: Vec::new(),
            allowed_hosts: Vec::new(),
            cache: CacheFolder::Home,
            memory: None,
            drain: Duration::from_secs(30),
        }
    }
}

/// A running server.
pub(crate) struct Server {
    url: String,
    statuses: watch::Receiver<Arc<ModelStatuses>>,
    backend: Arc<LocalBackend>,
    gateway: JoinHandle<io::Result<()>>,
    reconciler: JoinHandle<()>,
    serving: CancellationToken,
    reconciling: CancellationToken,
    address_file: PathBuf,
    _lock: HomeLock,
}

impl Server {
    /// Starts a server on a home folder. It listens before it returns; models come up behind it.
    pub(crate) async fn start(home: &Home, options: Options) -> Result<Self, crate::exit::Error> {
        home.create()?;
        let lock = HomeLock::take(home)?;
        // Of a server that was killed: the lock would now vouch for it.
        std::fs::remove_file(home.address()).ok();
        let token = AdminToken::load_or_create(home.admin_token()).map_err(ServeError::part("the admin token"))?;
        let auth = Auth {
            admin_token: Some(token.secret().clone()),
            api_keys: options.api_keys,
            allowed_hosts: options.allowed_hosts,
            worker_key: None,
        };
        check_exposure(options.address, &auth).map_err(|source| ServeError::Exposed { source })?;
        let listener = listen(options.address).await?;
        let local = listener.local_addr().map_err(|source| ServeError::Listen { address: options.address, source })?;
        let url = format!("http://{}", reachable(local));

        let first_start = !home.models().exists();
        let desired = DesiredFile::open(home.models()).await.map_err(ServeError::part("the record of models"))?;
        let desired: Arc<dyn DesiredStore> = Arc::new(desired);
        if let Some(spec) = options.first_model.filter(|_| first_start) {
            let name = spec.name.clone();
            let record = Box::new(move |_: Option<&ModelSpec>| Ok(Some(spec)));
            desired.update(&name, record).await.map_err(ServeError::part("the record of models"))?;
        }
        let local = local_config(home, options.memory, options.drain)?;
        let (folder, says_pins) = match options.cache {
            CacheFolder::Home => (home.cache(), true),
            CacheFolder::At(folder) => (folder, true),
            CacheFolder::Borrowed(folder) => (folder, false),
        };
        let cache = storage::open_cache(local.node.clone(), folder).await?;
        let store: Arc<dyn ModelStore> = Arc::new(cache.clone());
        let backend =
            LocalBackend::open(local, Arc::clone(&store)).await.map_err(ServeError::part("running workers"))?;
        let backend = Arc::new(backend);
        let runner: Arc<dyn Backend> = backend.clone();
        let pins = PinWriter::new(Arc::clone(&desired), Arc::new(cache.clone()), Arc::clone(&store));
        let pins = says_pins.then_some(pins);
        let source = Arc::new(CachedSource::new(cache));
        let demand = DemandBoard::new();
        let reconciler = Reconciler::new(Arc::clone(&desired), Arc::clone(&runner), Arc::new(MemoryFit), source)
            .with_demand(Arc::new(Arc::clone(&demand)));
        let statuses = reconciler.statuses();

        let mut config = GatewayConfig { policy: options.policy, auth, ..GatewayConfig::default() };
        config.timeouts.drain = options.drain;
        let parts = Collaborators { backend: runner, desired, statuses: statuses.clone(), store, demand };
        let gateway = Gateway::new(config, parts).map_err(ServeError::part("the gateway"))?;
        let (serving, reconciling) = (CancellationToken::new(), CancellationToken::new());
        let until = serving.clone().cancelled_owned();
        let gateway = tokio::spawn(async move { gateway.serve(listener, until).await });
        let until = reconciling.clone();
        let reconciler = tokio::spawn(async move {
            let pinning = OptionFuture::from(pins.map(|pins| pins.run(until.clone())));
            tokio::join!(reconciler.run(until), pinning);
        });
        let address_file = home.address();
        std::fs::write(&address_file, format!("{url}\n"))
            .map_err(crate::exit::Error::file(format!("writing {}", address_file.display())))?;
        Ok(Self { url, statuses, backend, gateway, reconciler, serving, reconciling, address_file, _lock: lock })
    }

    /// Its base URL, as this machine reaches it.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// How its models fare.
    pub(crate) fn statuses(&self) -> watch::Receiver<Arc<ModelStatuses>> {
        self.statuses.clone()
    }

    /// Returns only when the gateway ends though nobody asked it to.
    pub(crate) async fn failure(&mut self) -> ServeError {
        let source = match (&mut self.gateway).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.into()),
            Err(error) => Some(error.into()),
        };
        ServeError::Ended { part: "the gateway", source }
    }

    /// Takes no more requests, lets those under way finish, then ends the workers.
    pub(crate) async fn stop(mut self) {
        // Who looks for a server now shall not find this one.
        std::fs::remove_file(&self.address_file).ok();
        self.serving.cancel();
        if !self.gateway.is_finished() {
            drop((&mut self.gateway).await);
        }
        self.reconciling.cancel();
        drop((&mut self.reconciler).await);
        self.backend.shutdown().await;
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::AddressInUse { address },
        _ => ServeError::Listen { address, source },
    })
}

/// The address under which this machine reaches a listener: one on all addresses is on loopback too.
fn reachable(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}

fn local_config(home: &Home, memory: Option<u64>, grace: Duration) -> Result<LocalConfig, ServeError> {
    let program = std::env::current_exe().map_err(ServeError::part("finding this program for the workers"))?;
    let command = WorkerCommand { program, args: vec!["worker".into()] };
    Ok(LocalConfig { memory, grace, ..LocalConfig::new(command, home.logs()) })
}
