//! Which of the controllers leads: the one that holds the Lease, for as long as it is known to.
//!
//! A holder that cannot reach the API server hears of nobody who takes the Lease over. So it counts for itself: a renewal
//! holds for [`TERM`] from when it was sent, and whoever has not renewed since stops acting, until it can again.

use crate::error::Error;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::{Client, Config};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer, Service};

/// The Lease that the leader holds.
const LEASE: &str = "clowder-controller";
/// How long a leader that is not heard of leads on.
const TERM: Duration = Duration::from_secs(15);
/// How long before its end a term is renewed.
const RENEWAL: Duration = Duration::from_secs(5);
/// How long a call of the API server may be silent: a renewal that is not answered by the end of the term is none.
const PATIENCE: Duration = RENEWAL;
/// Before another try after one that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the Lease.
#[derive(Clone, Copy, Default)]
struct Hold {
    /// Whether it was this controller's when it was last looked at.
    is_ours: bool,
    /// When the last renewal was sent that the API server took.
    renewed: Option<Instant>,
}

impl Hold {
    /// Until when this controller leads, whatever becomes of its connection; `None` where it does not.
    fn until(self) -> Option<Instant> {
        self.renewed.filter(|_| self.is_ours).map(|renewed| renewed + TERM).filter(|end| *end > Instant::now())
    }
}

/// A controller's part in the election of the leader.
pub(crate) struct Leadership {
    manager: LeaseManager,
    hold: Arc<watch::Sender<Hold>>,
}

impl Leadership {
    /// The timeouts of the Lease's own client, which shares no connection with any other: a watch may be silent for long, a
    /// renewal may not.
    pub(crate) fn config(config: &Config) -> Config {
        let mut config = config.clone();
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        config.write_timeout = Some(PATIENCE);
        // A connection that has been idle between two renewals has all of its time for the next answer.
        config.reset_reader_on_write = true;
        config
    }

    /// One that stands for election; `client` makes a client that has a layer around its calls.
    pub(crate) async fn new(
        client: impl FnOnce(NoteRenewals) -> kube::Result<Client>,
        namespace: &str,
        identity: Option<&str>,
    ) -> Result<Self, Error> {
        let hold = Arc::new(watch::channel(Hold::default()).0);
        let client = client(NoteRenewals(Arc::clone(&hold))).map_err(Error::Config)?;
        let builder = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_duration(TERM.as_secs())
            .with_grace(RENEWAL.as_secs());
        let builder = match identity {
            Some(identity) => builder.with_identity(identity),
            None => builder,
        };
        let manager = builder.build().await.map_err(Error::cluster(format!("reading the Lease {LEASE}")))?;
        Ok(Self { manager, hold })
    }

    /// Runs `lead` whenever this controller leads and drops it when it does not any more, until one ends by itself. What was
    /// begun goes on in the cluster, where the next leader sees it.
    pub(crate) async fn follow<L>(&self, mut lead: impl FnMut() -> L) -> Result<(), Error>
    where
        L: Future<Output = Result<(), Error>>,
    {
        let leading = async {
            loop {
                tracing::info!(lease = LEASE, "waiting to lead");
                self.gained().await;
                tracing::info!("leading");
                tokio::select! {
                    biased;
                    () = self.lost() => tracing::warn!(lease = LEASE, "not leading any more: the Lease is not renewed"),
                    outcome = lead() => return outcome,
                }
            }
        };
        tokio::select! {
            outcome = leading => outcome,
            () = self.keep() => Ok(()),
        }
    }

    /// Gives the Lease back, so that another leads at once.
    pub(crate) async fn give_back(self) {
        if let Err(error) = self.manager.release().await {
            tracing::warn!(%error, "the lease was not given back");
        }
    }

    /// Takes the Lease whenever it is free, and renews it; without end. The crate's own loop is not taken, since it waits for
    /// longer after each failure of its whole life.
    async fn keep(&self) {
        loop {
            match self.manager.changed().await {
                Ok(is_ours) => self.hold.send_modify(|hold| hold.is_ours = is_ours),
                Err(error) => {
                    tracing::warn!(%error, "the Lease cannot be looked at or renewed now");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn gained(&self) {
        // The sender lives as long as this does.
        let _ = self.hold.subscribe().wait_for(|hold| hold.until().is_some()).await;
    }

    async fn lost(&self) {
        let mut hold = self.hold.subscribe();
        loop {
            let Some(end) = hold.borrow_and_update().until() else { return };
            tokio::select! {
                _ = hold.changed() => {}
                () = sleep_until(end) => {}
            }
        }
    }
}

/// A layer of the Lease's client that notes when a renewal is sent which the API server takes.
#[derive(Clone)]
pub(crate) struct NoteRenewals(Arc<watch::Sender<Hold>>);

impl<S> Layer<S> for NoteRenewals {
    type Service = Noted<S>;

    fn layer(&self, service: S) -> Noted<S> {
        Noted { service, hold: Arc::clone(&self.0) }
    }
}

/// A client whose renewals are noted.
#[derive(Clone)]
pub(crate) struct Noted<S> {
    service: S,
    hold: Arc<watch::Sender<Hold>>,
}

impl<S, B, A> Service<Request<B>> for Noted<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The Lease is taken by an apply. Other patches by one who does not hold it free it of a holder who is gone, or count
        // holders: they renew nothing.
        let applies = request
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/apply-patch+yaml");
        let renews = request.method() == Method::PATCH && (applies || self.hold.borrow().is_ours);
        let (sent, hold, answer) = (Instant::now(), Arc::clone(&self.hold), self.service.call(request));
        Box::pin(async move {
            let answer = answer.await?;
            if renews && answer.status().is_success() {
                hold.send_modify(|hold| hold.renewed = Some(sent));
            }
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests;
