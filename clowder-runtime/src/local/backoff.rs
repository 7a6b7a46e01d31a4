//! How long to wait before the next attempt.

use super::config::BackoffSettings;
use std::time::Duration;

/// No wait is longer, whatever the settings say.
const A_DAY: Duration = Duration::from_secs(86_400);

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Backoff {
    settings: BackoffSettings,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(settings: BackoffSettings) -> Self {
        Self { settings, failures: 0 }
    }

    /// Counts a failure and says how long to wait after it. `jitter`, from 0 to 1, is how much of the second half of the
    /// wait counts.
    pub(super) fn next(&mut self, jitter: f64) -> Duration {
        let doubled = self.settings.first.saturating_mul(1 << self.failures.min(30));
        self.failures = self.failures.saturating_add(1);
        doubled.min(self.settings.longest).min(A_DAY).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Forgets all failures.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Forgets all failures of a worker that served for `served`, if that was long enough.
    pub(super) fn served(&mut self, served: Duration) {
        if served >= self.settings.stable_after {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: BackoffSettings = BackoffSettings {
        first: Duration::from_millis(200),
        longest: Duration::from_secs(1),
        stable_after: Duration::from_secs(60),
    };

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new(SETTINGS);
        let waits: Vec<_> = (0..40).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits[..4], [200, 400, 800, 1000]);
        assert!(waits[4..].iter().all(|wait| *wait == 1000));
    }

    #[test]
    fn no_setting_waits_for_ever() {
        let for_ever = BackoffSettings { first: Duration::MAX, longest: Duration::MAX, ..SETTINGS };
        assert_eq!(Backoff::new(for_ever).next(1.0), A_DAY);
    }

    #[test]
    fn jitter_takes_off_half_at_most() {
        assert_eq!(Backoff::new(SETTINGS).next(0.0), Duration::from_millis(100));
        assert_eq!(Backoff::new(SETTINGS).next(0.5), Duration::from_millis(150));
    }

    #[test]
    fn only_a_stable_run_is_a_new_beginning() {
        let mut backoff = Backoff::new(SETTINGS);
        backoff.next(1.0);
        backoff.served(Duration::from_secs(59));
        assert_eq!(backoff.next(1.0), Duration::from_millis(400));
        backoff.served(Duration::from_secs(60));
        assert_eq!(backoff.next(1.0), Duration::from_millis(200));
    }
}
