//! When to try again.

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Waits between tries: the first, doubled each time up to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// After many.
    pub most: Duration,
}

impl Default for Backoff {
    /// Half a second, doubled up to a minute.
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The wait after so many failures in a row, the first being 1.
    pub fn wait(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(doubled).min(self.most)
    }
}

struct Try {
    failures: u32,
    again_at: Instant,
}

/// What failed, and when it is due again.
pub(super) struct Retries<K>(BTreeMap<K, Try>);

impl<K> Default for Retries<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Retries<K> {
    pub(super) fn is_due(&self, key: &K) -> bool {
        self.0.get(key).is_none_or(|tried| tried.again_at <= Instant::now())
    }

    pub(super) fn succeeded(&mut self, key: &K) {
        self.0.remove(key);
    }

    pub(super) fn failed(&mut self, key: K, backoff: Backoff) {
        let tried = self.0.entry(key).or_insert(Try { failures: 0, again_at: Instant::now() });
        tried.failures = tried.failures.saturating_add(1);
        tried.again_at = Instant::now() + backoff.wait(tried.failures);
    }

    /// When the first of those not yet due is.
    pub(super) fn next(&self) -> Option<Instant> {
        let now = Instant::now();
        self.0.values().map(|tried| tried.again_at).filter(|&at| at > now).min()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| keep(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_most() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
        let waits: Vec<u64> = [1, 2, 3, 7, 100].map(|n| backoff.wait(n).as_secs()).to_vec();
        assert_eq!(waits, [1, 2, 4, 60, 60]);
    }
}
