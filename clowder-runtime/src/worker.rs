//! One worker, from the model's file to the end of the process.

use crate::announce::{Announcement, EXIT_REMOVED, EXIT_UNLOADABLE};
use crate::engine::{EngineOptions, LlamaEngine, LoadError};
use crate::hold::{Hold, HoldError};
use crate::server::{Server, ServerOptions};
use clowder_core::engine::Engine;
use clowder_core::{ModelName, Secret};
use std::future::Future;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a worker whose supervisor is gone finishes what it has.
const ORPHAN_DRAIN: Duration = Duration::from_secs(2);

/// How long connections may take to close once nothing is generated any more.
const CLOSE: Duration = Duration::from_secs(5);

/// What a worker runs, and where.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The model's GGUF file; the first of several where it is split.
    pub model_path: PathBuf,
    /// What is locked shared as long as the model, its adapters and its draft model are used.
    pub hold: Vec<PathBuf>,
    /// The name that clients ask for.
    pub alias: ModelName,
    /// Where it listens.
    pub host: IpAddr,
    /// Where it listens; 0 takes a free port.
    pub port: u16,
    /// How the model is loaded.
    pub engine: EngineOptions,
    /// What requests must bring.
    pub api_key: Option<Secret>,
    /// Whether it may listen beyond this machine without a key: the network is trusted.
    pub trusted_network: bool,
    /// Whether another process watches over it: it announces itself on standard output and ends with standard input.
    pub supervised: bool,
    /// How long it finishes what it has once it is told to end.
    pub drain: Duration,
}

impl WorkerOptions {
    /// A worker of this machine on port 8000.
    pub fn new(model_path: PathBuf, alias: ModelName) -> Self {
        Self {
            model_path,
            hold: Vec::new(),
            alias,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 8000,
            engine: EngineOptions::default(),
            api_key: None,
            trusted_network: false,
            supervised: false,
            drain: Duration::from_secs(300),
        }
    }
}

/// Why a worker ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// It would have served anybody who reaches it.
    #[error(
        "{host} is reachable from other machines, and no API key is set: set CLOWDER_WORKER_API_KEY_FILE, listen on \
         127.0.0.1, or give --trusted-network where only the gateway reaches it"
    )]
    Unprotected {
        /// Where it was to listen.
        host: IpAddr,
    },
    /// It cannot listen there.
    #[error("the worker cannot listen on {address}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its model cannot be kept where it is.
    #[error(transparent)]
    Hold(HoldError),
    /// Its model does not load.
    #[error(transparent)]
    Load(LoadError),
    /// The process cannot receive signals, or make threads.
    #[error("the worker cannot be set up")]
    Setup(#[source] io::Error),
    /// The engine's thread broke down.
    #[error("the engine has broken down; the log above says why")]
    EngineBroken,
    /// The server ended by itself.
    #[error("the server has ended by itself")]
    ServerEnded,
}

impl WorkerError {
    /// The exit code that says this to a supervisor.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Load(LoadError::Unloadable { .. }) => EXIT_UNLOADABLE,
            Self::Hold(HoldError::Removed { .. }) => EXIT_REMOVED,
            _ => 1,
        }
    }
}

/// Runs a worker until it is told to end: by `SIGTERM`, `SIGINT`, or, where supervised, the end of standard input.
///
/// `/health` answers from the start, 503 until the model is loaded.
///
/// # Errors
/// [`WorkerError`]; ending as told is none.
pub async fn run(options: WorkerOptions) -> Result<(), WorkerError> {
    if !options.host.is_loopback() && options.api_key.is_none() && !options.trusted_network {
        return Err(WorkerError::Unprotected { host: options.host });
    }
    let mut told = Told::listen(options.supervised).map_err(WorkerError::Setup)?;
    let address = SocketAddr::new(options.host, options.port);
    let bind = |source| WorkerError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let server = Server::new(ServerOptions { api_key: options.api_key, ..ServerOptions::new(options.alias.clone()) });
    let mut http = Http::serve(listener, &server);

    // Until this process ends.
    let (_hold, loaded) = tokio::select! {
        loaded = load(options.hold, options.model_path, options.engine) => loaded?,
        _ = told.ending() => return Ok(()),
    };
    let engine = match loaded {
        Ok(engine) => Arc::new(engine),
        Err(error) => {
            if options.supervised && matches!(error, LoadError::Unloadable { .. }) {
                announce(&Announcement::Unloadable { reason: error.to_string() });
            }
            return Err(WorkerError::Load(error));
        }
    };
    server.ready(Arc::clone(&engine) as Arc<dyn Engine>, engine.adds_bos());
    let endpoint = format!("http://{address}");
    tracing::info!(%endpoint, model = %options.alias, "serving");
    if options.supervised {
        let info = engine.info();
        announce(&Announcement::Serving { endpoint, context: info.context, slots: info.slots });
    }

    let patience = tokio::select! {
        cause = told.ending() => match cause {
            Cause::Signal => options.drain,
            Cause::Orphaned => ORPHAN_DRAIN.min(options.drain),
        },
        () = engine.broken() => return Err(WorkerError::EngineBroken),
        () = http.ended() => return Err(WorkerError::ServerEnded),
    };
    tracing::info!(active = engine.load().active, "draining");
    server.drain();
    tokio::select! {
        drained = tokio::time::timeout(patience, engine.drain()) => {
            if drained.is_err() {
                tracing::warn!("some requests did not end in time and are cut off");
            }
        }
        _ = told.ending() => tracing::warn!("told to end again: requests are cut off"),
        () = engine.broken() => return Err(WorkerError::EngineBroken),
    }
    http.close().await;
    Ok(())
}

/// Holds and loads on a thread of its own: a worker told to end need not wait for it.
fn load(
    hold: Vec<PathBuf>,
    path: PathBuf,
    options: EngineOptions,
) -> impl Future<Output = Result<(Hold, Result<LlamaEngine, LoadError>), WorkerError>> {
    let (sender, receiver) = oneshot::channel();
    let work = move || {
        let companions = options.adapters.iter().map(|adapter| &adapter.path);
        let companions = companions.chain(options.draft.iter().map(|draft| &draft.path));
        let files: Vec<&Path> = std::iter::once(&path).chain(companions).map(PathBuf::as_path).collect();
        let held = Hold::take(&hold, &files);
        let loaded = held.map(|hold| (hold, LlamaEngine::load(&path, &options)));
        // Nobody waits for a model any more once the worker is told to end.
        let _ = sender.send(loaded);
    };
    let spawned = std::thread::Builder::new().name("load".to_owned()).spawn(work);
    async move {
        spawned.map_err(WorkerError::Setup)?;
        receiver.await.map_err(|_| WorkerError::EngineBroken)?.map_err(WorkerError::Hold)
    }
}

/// Writes the line that a supervisor waits for.
fn announce(announcement: &Announcement) {
    let line = serde_json::to_string(announcement).unwrap_or_default();
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "nobody reads standard output");
    }
}

/// Serves connections in a task.
struct Http {
    task: JoinHandle<io::Result<()>>,
    closing: CancellationToken,
}

impl Http {
    fn serve(listener: TcpListener, server: &Server) -> Self {
        let closing = CancellationToken::new();
        let closed = closing.clone().cancelled_owned();
        let serve = axum::serve(listener, server.router()).with_graceful_shutdown(closed);
        Self { task: tokio::spawn(serve.into_future()), closing }
    }

    async fn ended(&mut self) {
        if let Ok(Err(error)) = (&mut self.task).await {
            tracing::error!(%error, "the server has ended");
        }
    }

    async fn close(mut self) {
        self.closing.cancel();
        if tokio::time::timeout(CLOSE, self.ended()).await.is_err() {
            self.task.abort();
        }
    }
}

enum Cause {
    Signal,
    Orphaned,
}

/// The ways a worker is told to end.
struct Told {
    terminate: Signal,
    interrupt: Signal,
    orphaned: Option<oneshot::Receiver<()>>,
}

impl Told {
    fn listen(supervised: bool) -> io::Result<Self> {
        let orphaned = if supervised {
            let (sender, receiver) = oneshot::channel();
            let read = move || {
                // An error says as much as the end does: nobody is there.
                let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                let _ = sender.send(());
            };
            std::thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
            Some(receiver)
        } else {
            None
        };
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, orphaned })
    }

    async fn ending(&mut self) -> Cause {
        let Self { terminate, interrupt, orphaned } = self;
        let gone = async {
            match orphaned {
                // The thread ends only by sending.
                Some(receiver) => drop(receiver.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => Cause::Signal,
            _ = interrupt.recv() => Cause::Signal,
            () = gone => {
                self.orphaned = None;
                Cause::Orphaned
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_door_is_refused() {
        let mut options = WorkerOptions::new("/m.gguf".into(), "m".parse().unwrap());
        options.host = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let error = run(options).await.unwrap_err();
        assert!(matches!(error, WorkerError::Unprotected { .. }));
        assert!(error.to_string().contains("--trusted-network"));
        assert_eq!(error.exit_code(), 1);
    }

    #[tokio::test]
    async fn only_a_file_that_is_no_model_is_unloadable() {
        let of = |path: &Path| {
            let mut options = WorkerOptions::new(path.to_owned(), "m".parse().unwrap());
            options.port = 0;
            run(options)
        };
        let error = of(Path::new("/nonexistent/m.gguf")).await.unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains("/nonexistent/m.gguf cannot be read"), "{error}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"<html>not found</html>").unwrap();
        assert_eq!(of(file.path()).await.unwrap_err().exit_code(), EXIT_UNLOADABLE);
    }

    #[tokio::test]
    async fn a_model_that_was_removed_before_it_was_held_is_to_be_fetched_anew() {
        let mut options = WorkerOptions::new("/nonexistent/m.gguf".into(), "m".parse().unwrap());
        options.port = 0;
        options.hold = vec!["/nonexistent/m.gguf.hold".into()];
        let error = run(options).await.unwrap_err();
        assert!(error.to_string().contains("/nonexistent/m.gguf was removed"), "{error}");
        assert_eq!(error.exit_code(), EXIT_REMOVED);
    }
}
