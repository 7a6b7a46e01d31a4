//! Connections: accepted within a bound, drained at the end.

use crate::gateway::Shared;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

/// How long to wait when the system has no more file descriptors or memory for connections.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

pub(crate) async fn serve(
    shared: &Arc<Shared>,
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "the gateway listens");
    let places = Arc::new(Semaphore::new(shared.config.limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(shared.config.timeouts.header_read);
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = async {
            // Never closed, so there is always a place some day.
            let place = places.clone().acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                // Tokens are small and each is a write of its own.
                let _ = stream.set_nodelay(true);
                // A client that does not read would hold its answer, and so a worker's slot, without end.
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(shared.config.timeouts.client_stall));
                let service = TowerToHyperService::new(router.clone());
                let connection = graceful.watch(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
    drop(listener);
    shared.stopping.cancel();
    let limit = shared.config.timeouts.drain;
    tracing::info!(in_flight = shared.admission.in_flight(), "the gateway drains");
    if timeout(limit, graceful.shutdown()).await.is_err() {
        tracing::warn!(in_flight = shared.admission.in_flight(), "requests are cut off: they outlasted the drain");
    }
    connections.shutdown().await;
    Ok(())
}
