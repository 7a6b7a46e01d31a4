//! One process of a worker as the gateway sees it: where it listens, how much it was given, whether it answers.

use clowder_core::{Worker, WorkerId};
use reqwest::Url;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Names one process of a worker. A worker that was started again has another key: it remembers nothing of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerKey(pub u64);

const MAX_DOUBLINGS: u32 = 5;

/// A worker's process.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) key: WorkerKey,
    pub(crate) id: WorkerId,
    pub(crate) base: Url,
    pub(crate) slots: u32,
    restarts: u32,
    /// Requests it may have at the same time.
    limit: u32,
    in_flight: AtomicU32,
    failures: AtomicU32,
    /// Milliseconds after `born` until which it is left alone.
    avoided_until: AtomicU64,
    born: Instant,
}

impl Endpoint {
    /// The endpoint of a worker that has one; `None` where there is none, or no URL.
    pub(crate) fn new(key: WorkerKey, worker: &Worker, per_slot: u32) -> Option<Self> {
        let base = worker.endpoint.as_deref()?;
        let url = Url::parse(base).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            tracing::warn!(worker = %worker.id, "the worker's endpoint is no HTTP URL; it gets no requests");
        }
        let slots = worker.slots.max(1);
        Some(Self {
            key,
            id: worker.id.clone(),
            base: url?,
            slots,
            restarts: worker.restarts,
            limit: slots.saturating_mul(per_slot.max(1)),
            in_flight: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            avoided_until: AtomicU64::new(0),
            born: Instant::now(),
        })
    }

    /// Whether this is still the process that serves as `worker`.
    pub(crate) fn is_of(&self, worker: &Worker) -> bool {
        let url = worker.endpoint.as_deref().and_then(|base| Url::parse(base).ok());
        self.id == worker.id
            && self.restarts == worker.restarts
            && self.slots == worker.slots.max(1)
            && url.as_ref() == Some(&self.base)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < self.limit
    }

    /// When it may be tried again, if it is being left alone.
    pub(crate) fn avoided_until(&self) -> Option<Instant> {
        let until = self.born + Duration::from_millis(self.avoided_until.load(Ordering::Relaxed));
        (until > Instant::now()).then_some(until)
    }

    /// It failed: it is left alone for a while, longer with each failure in a row.
    pub(crate) fn failed(&self, backoff: Duration) {
        let doublings = self.failures.fetch_add(1, Ordering::Relaxed).min(MAX_DOUBLINGS);
        let until = (self.born.elapsed() + backoff * 2_u32.pow(doublings)).as_millis();
        self.avoided_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// It answered.
    pub(crate) fn answered(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.avoided_until.store(0, Ordering::Relaxed);
    }
}

/// One request of a worker's load, given back when dropped.
#[derive(Debug)]
pub(crate) struct LoadGuard {
    pub(crate) endpoint: Arc<Endpoint>,
    freed: Arc<Notify>,
}

impl LoadGuard {
    /// Takes room on the endpoint if there is some; `freed` is told when it is given back.
    pub(crate) fn take(endpoint: &Arc<Endpoint>, freed: Arc<Notify>) -> Option<Self> {
        let more = |load| (load < endpoint.limit).then(|| load + 1);
        endpoint.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { endpoint: endpoint.clone(), freed })
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(slots: u32) -> Arc<Endpoint> {
        let mut worker = Worker::new("m-1-0".parse().unwrap(), "m".parse().unwrap(), "a".into());
        worker.endpoint = Some("http://127.0.0.1:9".to_owned());
        worker.slots = slots;
        Arc::new(Endpoint::new(WorkerKey(1), &worker, 2).unwrap())
    }

    #[test]
    fn load_is_bounded_and_given_back() {
        let endpoint = endpoint(1);
        let freed = Arc::new(Notify::new());
        let guards: Vec<_> = (0..2).map(|_| LoadGuard::take(&endpoint, freed.clone()).unwrap()).collect();
        assert!(LoadGuard::take(&endpoint, freed.clone()).is_none());
        assert!(!endpoint.has_room());
        drop(guards);
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_are_left_alone_for_longer() {
        let endpoint = endpoint(1);
        let wait = |endpoint: &Endpoint| endpoint.avoided_until().map(|until| until - Instant::now());
        assert_eq!(wait(&endpoint), None);
        endpoint.failed(Duration::from_millis(100));
        assert_eq!(wait(&endpoint), Some(Duration::from_millis(100)));
        endpoint.failed(Duration::from_millis(100));
        assert_eq!(wait(&endpoint), Some(Duration::from_millis(200)));
        endpoint.answered();
        assert_eq!(wait(&endpoint), None);
    }
}
