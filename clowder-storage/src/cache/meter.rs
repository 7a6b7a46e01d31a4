//! Bytes, and bytes per second over the last seconds.

use clowder_core::store::FetchProgress;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::watch;

const WINDOW: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(250);

/// Tells how far a fetch is.
pub(super) struct Meter {
    progress: watch::Sender<FetchProgress>,
    total: Option<u64>,
    bytes: u64,
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Starts at `bytes` of `total`.
    pub(super) fn new(progress: watch::Sender<FetchProgress>, bytes: u64, total: Option<u64>) -> Self {
        progress.send_replace(FetchProgress { bytes, total, rate: 0 });
        Self { progress, total, bytes, samples: VecDeque::from([(Instant::now(), bytes)]) }
    }

    /// More bytes are there.
    pub(super) fn add(&mut self, bytes: u64) {
        self.add_at(bytes, Instant::now());
    }

    fn add_at(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        if self.samples.back().is_none_or(|(at, _)| now - *at >= STEP) {
            self.samples.push_back((now, self.bytes));
        }
        while self.samples.len() > 1 && self.samples.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.samples.pop_front();
        }
        let rate = self.samples.front().map_or(0, |(at, before)| {
            let milliseconds = (now - *at).as_millis().max(1);
            u64::try_from(u128::from(self.bytes.saturating_sub(*before)) * 1000 / milliseconds).unwrap_or(u64::MAX)
        });
        self.progress.send_replace(FetchProgress { bytes: self.bytes, total: self.total, rate });
    }

    /// Bytes that were there are there no longer.
    pub(super) fn take_back(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.samples = VecDeque::from([(Instant::now(), self.bytes)]);
        self.progress.send_replace(FetchProgress { bytes: self.bytes, total: self.total, rate: 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let (progress, seen) = watch::channel(FetchProgress::default());
        let mut meter = Meter::new(progress, 100, Some(10_000));
        let start = Instant::now();
        for second in 1..=10 {
            meter.add_at(50, start + Duration::from_secs(second));
        }
        assert_eq!(*seen.borrow(), FetchProgress { bytes: 600, total: Some(10_000), rate: 50 });
        meter.take_back(600);
        assert_eq!(*seen.borrow(), FetchProgress { bytes: 0, total: Some(10_000), rate: 0 });
    }
}
