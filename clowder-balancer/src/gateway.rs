//! The gateway: its parts put together.

use crate::admission::Admission;
use crate::auth::Keyring;
use crate::config::GatewayConfig;
use crate::directory::Directory;
use crate::host::HostCheck;
use crate::metrics::Metrics;
use crate::policy::RoutingPolicy;
use crate::proxy::{self, Proxy};
use crate::routing;
use axum::http::HeaderValue;
use clowder_core::demand::DemandBoard;
use clowder_core::status::ModelStatuses;
use clowder_core::{Backend, DesiredStore, ModelStore, Secret};
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// What a gateway stands on.
#[derive(Clone)]
pub struct Collaborators {
    /// What runs the workers; observed, and asked for logs.
    pub backend: Arc<dyn Backend>,
    /// Where the operational API records what is asked for.
    pub desired: Arc<dyn DesiredStore>,
    /// How the desired models fare, from the reconciler.
    pub statuses: watch::Receiver<Arc<ModelStatuses>>,
    /// What is on the nodes.
    pub store: Arc<dyn ModelStore>,
    /// Where the gateway counts what is asked of each model.
    pub demand: Arc<DemandBoard>,
}

/// A gateway cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The client for workers cannot be set up.
    #[error("the HTTP client for workers cannot be set up")]
    Client {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The key for workers cannot stand in a header.
    #[error("the key for workers has characters that no HTTP header can carry: take letters and digits")]
    WorkerKey,
}

/// The gateway: one API in front of many workers.
///
/// Cheap to clone; all clones are one gateway, which follows its collaborators until the last clone, router and connection
/// is gone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) config: GatewayConfig,
    pub(crate) parts: Collaborators,
    pub(crate) keys: Keyring,
    pub(crate) hosts: HostCheck,
    pub(crate) directory: Arc<Directory>,
    pub(crate) admission: Admission,
    pub(crate) proxy: Proxy,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) started: Instant,
    pub(crate) started_unix: u64,
    /// Cancelled when the gateway is told to stop.
    pub(crate) stopping: CancellationToken,
    _follower: AbortOnDropHandle<()>,
}

impl Gateway {
    /// A gateway with the configured policy, following its collaborators from now on.
    ///
    /// # Errors
    /// [`GatewayError`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn new(config: GatewayConfig, parts: Collaborators) -> Result<Self, GatewayError> {
        let policy = config.policy.build();
        Self::with_policy(config, parts, policy)
    }

    /// A gateway with a policy of your own; `config.policy` is not looked at.
    ///
    /// # Errors
    /// [`GatewayError`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn with_policy(
        config: GatewayConfig,
        parts: Collaborators,
        policy: Arc<dyn RoutingPolicy>,
    ) -> Result<Self, GatewayError> {
        let directory = Arc::new(Directory::new(config.limits.clone(), policy.clone()));
        let following = directory.clone().follow(parts.backend.clone(), parts.desired.clone(), parts.statuses.clone());
        let metrics = Arc::new(Metrics::new());
        let authorization = config.auth.worker_key.as_ref().map(bearer).transpose()?;
        let client =
            proxy::client(&config.timeouts, authorization).map_err(|source| GatewayError::Client { source })?;
        let proxy = Proxy {
            client,
            router: routing::Router { directory: directory.clone(), policy },
            limits: config.limits.clone(),
            timeouts: config.timeouts.clone(),
        };
        let shared = Shared {
            keys: Keyring::new(&config.auth),
            hosts: HostCheck::new(&config.auth.allowed_hosts),
            admission: Admission::new(&config.limits),
            proxy,
            metrics,
            directory,
            started: Instant::now(),
            started_unix: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            stopping: CancellationToken::new(),
            _follower: AbortOnDropHandle::new(tokio::spawn(following)),
            config,
            parts,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// All routes of the gateway, to be served as they are or as part of a larger server.
    pub fn router(&self) -> axum::Router {
        crate::http::router(&self.shared)
    }

    /// Serves on `listener` until `shutdown` completes; then takes no new connection and returns when the requests in
    /// flight have ended, or after the drain timeout.
    ///
    /// Whether the listener's address may be open is asked of [`check_exposure`](crate::check_exposure) before.
    ///
    /// # Errors
    /// Where the listener's address cannot be read.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
        crate::serve::serve(&self.shared, listener, self.router(), shutdown).await
    }
}

fn bearer(key: &Secret) -> Result<HeaderValue, GatewayError> {
    let value = HeaderValue::try_from(format!("Bearer {}", key.expose()));
    let mut value = value.map_err(|_| GatewayError::WorkerKey)?;
    value.set_sensitive(true);
    Ok(value)
}
