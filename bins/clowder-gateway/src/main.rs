//! `clowder-gateway`: the gateway of a cluster.

mod error;

use clap::Parser;
use clowder_balancer::{Auth, Collaborators, Gateway, GatewayConfig, PolicyKind, check_exposure, read_api_keys};
use clowder_core::demand::DemandBoard;
use clowder_core::stock::StockedBackend;
use clowder_core::{Backend, DesiredStore, NodeName, Secret, chain};
use clowder_k8s::{KubernetesBackend, KubernetesDesired, StorageManagers, WorkerTemplate};
use clowder_storage::client::Managers;
use error::{Error, reading};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// One OpenAI-compatible API in front of the workers of a Kubernetes cluster
///
/// Finds the cluster as kubectl does, or through its service account. RUST_LOG sets what is logged.
#[derive(Debug, Parser)]
#[command(name = "clowder-gateway", version)]
struct Args {
    /// Where to listen; off loopback, API keys are needed
    #[arg(long, value_name = "HOST:PORT", env = "CLOWDER_GATEWAY_LISTEN", default_value = "127.0.0.1:3090")]
    listen: SocketAddr,
    /// The namespace of the models [default: the one this runs in]
    #[arg(long, value_name = "NAME", env = "CLOWDER_NAMESPACE")]
    namespace: Option<String>,
    /// File with the token that opens /api/v1; without it the operational API is off
    #[arg(long, value_name = "FILE", env = "CLOWDER_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
    /// File of API keys for /v1, one a line
    #[arg(long, value_name = "FILE", env = "CLOWDER_API_KEY_FILE")]
    api_key_file: Option<PathBuf>,
    /// File with the key that workers ask for
    #[arg(long, value_name = "FILE", env = "CLOWDER_WORKER_TOKEN_FILE")]
    worker_token_file: Option<PathBuf>,
    /// File with the token that storage managers ask for
    #[arg(long, value_name = "FILE", env = "CLOWDER_STORAGE_TOKEN_FILE")]
    storage_token_file: Option<PathBuf>,
    /// Which worker gets a request: prefix, least-load, round-robin or power-of-two
    #[arg(long, value_name = "NAME", env = "CLOWDER_POLICY", default_value_t = PolicyKind::default())]
    policy: PolicyKind,
    /// How long requests may go on after SIGTERM
    #[arg(long, value_name = "TIME", env = "CLOWDER_DRAIN", default_value = "10m", value_parser = humantime::parse_duration)]
    drain: Duration,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    let runtime = tokio::runtime::Runtime::new().map_err(Error::starting("the runtime"));
    match runtime.and_then(|runtime| runtime.block_on(run(args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clowder-gateway: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Error> {
    let auth = Auth {
        admin_token: args.admin_token_file.as_deref().map(secret).transpose()?,
        api_keys: args.api_key_file.as_deref().map(read_api_keys).transpose()?.unwrap_or_default(),
        worker_key: args.worker_token_file.as_deref().map(secret).transpose()?,
        allowed_hosts: Vec::new(),
    };
    check_exposure(args.listen, &auth)?;
    let storage_token = args.storage_token_file.as_deref().map(secret).transpose()?;
    let (mut terminated, mut interrupted) =
        (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
    let listener =
        TcpListener::bind(args.listen).await.map_err(|source| Error::Listen { address: args.listen, source })?;

    let client = kube::Client::try_default().await?;
    let namespace = args.namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    // It observes and reads logs; starting workers, which takes an image, is the controller's.
    let observed = Arc::new(KubernetesBackend::new(client.clone(), WorkerTemplate::new(&namespace, "")));
    let records = Arc::new(KubernetesDesired::new(client.clone(), &namespace));
    let managers = Arc::new(StorageManagers::follow(client, &namespace, storage_token.clone()));
    let desired: Arc<dyn DesiredStore> = records.clone();
    let backend: Arc<dyn Backend> = Arc::new(StockedBackend::new(observed, desired.clone(), managers.clone()));
    let statuses = clowder_k8s::statuses(&records, backend.as_ref());
    let store = Arc::new(Managers::new(Arc::new(move |node: &NodeName| managers.base(node)), storage_token));
    let mut config = GatewayConfig { policy: args.policy, auth, ..GatewayConfig::default() };
    config.timeouts.drain = args.drain;
    let demand = DemandBoard::new();
    let gateway = Gateway::new(config, Collaborators { backend, desired, statuses, store, demand })?;
    tracing::info!(address = %args.listen, namespace, "serving");
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping: requests under way may finish");
    };
    gateway.serve(listener, stop).await.map_err(Error::starting("serving"))
}

fn listen_for(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Error> {
    signal(kind).map_err(Error::starting("listening for signals"))
}

/// The one secret of a file, such as a mounted Secret's key.
fn secret(path: &Path) -> Result<Secret, Error> {
    let text = std::fs::read_to_string(path).map_err(reading(path))?;
    match text.trim() {
        "" => Err(Error::EmptySecret { path: path.to_owned() }),
        secret => Ok(Secret::new(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
    }
}
