//! One fetch at a time for each URL in this process: the others wait, see its progress, and share what becomes of it.

use super::error::again;
use clowder_core::store::{FetchProgress, FetchRequest, StoreError};
use clowder_core::url::ModelUrl;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::time::Instant;

/// The fetches that somebody waits for.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<ModelUrl, Arc<Flight>>>>);

#[derive(Default)]
struct Flight {
    gate: Arc<tokio::sync::Mutex<Option<Failure>>>,
    progress: watch::Sender<FetchProgress>,
}

/// How the last fetch failed, for those who had been waiting for the same.
struct Failure {
    at: Instant,
    request: FetchRequest,
    error: Arc<StoreError>,
}

/// One caller's place at a fetch.
pub(super) struct Ticket {
    flights: Flights,
    url: ModelUrl,
    flight: Arc<Flight>,
    since: Instant,
}

/// The turn to fetch.
pub(super) struct Turn {
    gate: tokio::sync::OwnedMutexGuard<Option<Failure>>,
    /// Where to tell progress: all who wait see it.
    pub(super) progress: watch::Sender<FetchProgress>,
}

impl Flights {
    pub(super) fn join(&self, url: &ModelUrl) -> Ticket {
        let flight = self.lock().entry(url.clone()).or_default().clone();
        Ticket { flights: self.clone(), url: url.clone(), flight, since: Instant::now() }
    }

    /// The progress of a fetch under way.
    pub(super) fn progress(&self, url: &ModelUrl) -> Option<FetchProgress> {
        self.lock().get(url).map(|flight| *flight.progress.borrow())
    }

    /// The progress of all fetches under way.
    pub(super) fn progresses(&self) -> Vec<(ModelUrl, FetchProgress)> {
        self.lock().iter().map(|(url, flight)| (url.clone(), *flight.progress.borrow())).collect()
    }

    /// How many URLs are being fetched.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ModelUrl, Arc<Flight>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits for the turn, telling the caller meanwhile what the fetch before it tells.
    ///
    /// # Errors
    /// What the same request ended with while this one waited.
    pub(super) async fn turn(
        &self,
        request: &FetchRequest,
        progress: &watch::Sender<FetchProgress>,
    ) -> Result<Turn, StoreError> {
        let gate = relay(&self.flight.progress, progress, self.flight.gate.clone().lock_owned()).await;
        if let Some(failure) = gate.as_ref().filter(|failure| failure.at > self.since && failure.request == *request) {
            return Err(again(&failure.error));
        }
        Ok(Turn { gate, progress: self.flight.progress.clone() })
    }
}

impl Turn {
    /// Ends the turn with a failure that those who wait for the same share.
    pub(super) fn fail(mut self, request: &FetchRequest, error: StoreError) -> StoreError {
        let copy = again(&error);
        *self.gate = Some(Failure { at: Instant::now(), request: request.clone(), error: Arc::new(error) });
        copy
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        // Given up under the lock: of two who leave at the same time one is the last, and sees it.
        drop(std::mem::take(&mut self.flight));
        if flights.get(&self.url).is_some_and(|flight| Arc::strong_count(flight) == 1) {
            flights.remove(&self.url);
        }
    }
}

/// Copies what the one channel says to the other for as long as the future runs.
pub(super) async fn relay<T>(
    from: &watch::Sender<FetchProgress>,
    to: &watch::Sender<FetchProgress>,
    work: impl Future<Output = T>,
) -> T {
    let mut seen = from.subscribe();
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                to.send_replace(*seen.borrow_and_update());
                return done;
            }
            Ok(()) = seen.changed() => {
                to.send_replace(*seen.borrow_and_update());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::secret::Credentials;
    use clowder_core::source::SourceError;

    #[tokio::test]
    async fn those_who_wait_for_the_same_share_its_failure_and_others_have_their_own_turn() {
        let (flights, progress) = (Flights::default(), watch::channel(FetchProgress::default()).0);
        let request = FetchRequest::from("memory:m".parse::<ModelUrl>().unwrap());
        let other = FetchRequest { credentials: Some(Credentials::bearer("t")), ..request.clone() };
        let [first, second, third] = [(); 3].map(|()| flights.join(&request.url));
        let turn = first.turn(&request, &progress).await.unwrap();
        assert_eq!(flights.count(), 1);
        turn.fail(&request, SourceError::NotFound { what: "m".into() }.into());
        let shared = second.turn(&request, &progress).await.err();
        assert!(matches!(shared, Some(StoreError::Source(SourceError::NotFound { .. }))), "{shared:?}");
        assert!(third.turn(&other, &progress).await.is_ok());
        let late = flights.join(&request.url);
        assert!(late.turn(&request, &progress).await.is_ok(), "who comes later tries anew");
        drop((first, second, third, late));
        assert_eq!(flights.count(), 0);
    }
}
