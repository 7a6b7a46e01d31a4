//! Trying again: what may pass is tried again after a while, each time a longer one, so many times in a row.

use crate::sources::web::UnexpectedStatus;
use clowder_core::source::SourceError;
use std::error::Error;
use std::time::{Duration, SystemTime};

/// How often, and after how long.
#[derive(Clone, Debug)]
pub struct Retries {
    /// Failures in a row after which a fetch is given up. A fetch that got on in between starts counting anew.
    pub most: u32,
    /// The wait after the first.
    pub first: Duration,
    /// The longest wait; also the most that a server's `Retry-After` is heeded for.
    pub longest: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { most: 6, first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

/// Failures in a row.
pub(super) struct Failures<'a> {
    retries: &'a Retries,
    count: u32,
}

impl<'a> Failures<'a> {
    pub(super) fn new(retries: &'a Retries) -> Self {
        Self { retries, count: 0 }
    }

    /// The fetch got on.
    pub(super) fn forget(&mut self) {
        self.count = 0;
    }

    /// Waits until it may be tried again.
    ///
    /// # Errors
    /// The failure itself, where trying again is of no use or was done often enough.
    pub(super) async fn wait(&mut self, error: SourceError) -> Result<(), SourceError> {
        let Some(delay) = self.delay(&error) else { return Err(error) };
        tracing::warn!(%error, cause = error.source(), attempt = self.count, ?delay, "a fetch failed and is tried again");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// How long to wait after one more failure; `None` to give up.
    fn delay(&mut self, error: &SourceError) -> Option<Duration> {
        self.count += 1;
        let SourceError::Unreachable { source, .. } = error else { return None };
        let answer = source.downcast_ref::<UnexpectedStatus>();
        if self.count > self.retries.most || answer.is_some_and(|answer| !answer.is_transient()) {
            return None;
        }
        let doubled = self.retries.first.saturating_mul(1 << (self.count - 1).min(16));
        let asked = answer.and_then(|answer| answer.retry_after).unwrap_or_default();
        Some(spread(doubled).max(asked).min(self.retries.longest))
    }
}

/// Three to five quarters of a delay, so that nodes that failed together do not come back together.
fn spread(delay: Duration) -> Duration {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    delay.mul_f64(0.75 + f64::from(clock.subsec_nanos() % 1000) / 2000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<Duration>) -> SourceError {
        SourceError::Unreachable { what: "x".into(), source: UnexpectedStatus { status, retry_after }.into() }
    }

    #[test]
    fn gives_up_after_so_many_in_a_row() {
        let retries = Retries { most: 2, ..Retries::default() };
        let mut failures = Failures::new(&retries);
        let first = failures.delay(&status(503, None)).unwrap();
        let second = failures.delay(&status(503, None)).unwrap();
        assert!(first <= retries.first.mul_f64(1.25) && second >= retries.first.mul_f64(1.5), "{first:?} {second:?}");
        failures.forget();
        for _ in 0..2 {
            assert!(failures.delay(&status(503, None)).is_some());
        }
        assert!(failures.delay(&status(503, None)).is_none());
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let retries = Retries::default();
        assert!(Failures::new(&retries).delay(&status(400, None)).is_none());
        assert!(Failures::new(&retries).delay(&SourceError::NotFound { what: "x".into() }).is_none());
    }

    #[test]
    fn a_server_may_ask_for_a_longer_wait_within_bounds() {
        let retries = Retries::default();
        let asked = |seconds| Failures::new(&retries).delay(&status(429, Some(Duration::from_secs(seconds))));
        assert_eq!(asked(7), Some(Duration::from_secs(7)));
        assert_eq!(asked(7000), Some(retries.longest));
    }
}
