//! Admission: how many requests are in the house, waiting and in flight.

use crate::config::Limits;
use crate::error::ApiError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Bounds the requests that wait and those that are forwarded. Both are counted by what the request itself holds
/// ([`Place`], then [`Permit`]), so there is no path on which a count is not given back.
pub(crate) struct Admission {
    queue: Arc<Semaphore>,
    flight: Arc<Semaphore>,
    limits: (usize, usize),
}

/// A place in the queue; holds the request's body and its wait for a worker.
pub(crate) struct Place {
    admission: Arc<Semaphore>,
    in_flight: usize,
    _place: OwnedSemaphorePermit,
}

/// Leave to be forwarded, held until the answer's last byte.
pub(crate) struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Self {
        let cap = |limit: usize| limit.clamp(1, Semaphore::MAX_PERMITS);
        let (queued, in_flight) = (cap(limits.queued), cap(limits.in_flight));
        Self {
            queue: Arc::new(Semaphore::new(queued)),
            flight: Arc::new(Semaphore::new(in_flight)),
            limits: (queued, in_flight),
        }
    }

    /// Takes a place in the queue.
    pub(crate) fn enter(&self) -> Result<Place, ApiError> {
        let (queued, in_flight) = self.limits;
        let place = self.queue.clone().try_acquire_owned().map_err(|_| {
            let message = format!("All {queued} places of the queue are taken: try again later.");
            ApiError::overloaded("queue_full", message, Duration::from_secs(1))
        })?;
        Ok(Place { admission: self.flight.clone(), in_flight, _place: place })
    }

    /// Requests that wait.
    pub(crate) fn queued(&self) -> usize {
        self.limits.0 - self.queue.available_permits()
    }

    /// Requests that are forwarded.
    pub(crate) fn in_flight(&self) -> usize {
        self.limits.1 - self.flight.available_permits()
    }
}

impl Place {
    /// Leaves the queue for the flight.
    pub(crate) async fn admit(self, deadline: Instant) -> Result<Permit, ApiError> {
        match timeout_at(deadline, self.admission.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Permit { _permit: permit }),
            _ => {
                let message = format!("{} requests are being answered already: try again later.", self.in_flight);
                Err(ApiError::overloaded("gateway_busy", message, Duration::from_secs(1)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(in_flight: usize, queued: usize) -> Admission {
        Admission::new(&Limits { in_flight, queued, ..Limits::default() })
    }

    #[tokio::test]
    async fn what_is_dropped_is_given_back() {
        let admission = admission(1, 2);
        let deadline = Instant::now() + Duration::from_secs(60);
        let permit = admission.enter().unwrap().admit(deadline).await.unwrap();
        let places = [admission.enter().unwrap(), admission.enter().unwrap()];
        assert_eq!((admission.in_flight(), admission.queued()), (1, 2));
        assert_eq!(admission.enter().err().unwrap().status, 429);
        drop((permit, places));
        assert_eq!((admission.in_flight(), admission.queued()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_at_its_deadline() {
        let admission = admission(1, 2);
        let deadline = Instant::now() + Duration::from_secs(1);
        let _held = admission.enter().unwrap().admit(deadline).await.unwrap();
        let refused = admission.enter().unwrap().admit(deadline).await.err().unwrap();
        assert_eq!(refused.status, 429);
        assert_eq!(admission.queued(), 0);
    }
}
