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
pub(crate) struct Retries<K>(BTreeMap<K, Try>);

impl<K> Default for Retries<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Retries<K> {
    pub(crate) fn is_due(&self, key: &K, now: Instant) -> bool {
        self.0.get(key).is_none_or(|tried| tried.again_at <= now)
    }

    pub(crate) fn succeeded(&mut self, key: &K) {
        self.0.remove(key);
    }

    pub(crate) fn failed(&mut self, key: K, backoff: Backoff) {
        let tried = self.0.entry(key).or_insert(Try { failures: 0, again_at: Instant::now() });
        tried.failures = tried.failures.saturating_add(1);
        tried.again_at = Instant::now() + backoff.wait(tried.failures);
    }

    /// When the first of those is due that were not yet at `looked_at`, the time they were last looked at. It may have passed.
    pub(crate) fn next(&self, looked_at: Instant) -> Option<Instant> {
        self.0.values().map(|tried| tried.again_at).filter(|&at| at > looked_at).min()
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
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

    #[tokio::test(start_paused = true)]
    async fn what_falls_due_while_others_are_acted_on_is_not_lost() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
        let mut retries = Retries::default();
        let looked_at = Instant::now();
        retries.failed("a", backoff);
        assert!(!retries.is_due(&"a", looked_at));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(retries.next(looked_at), Some(looked_at + Duration::from_secs(1)));
        assert!(retries.is_due(&"a", Instant::now()));
        // What was due when it was looked at waits for something else, and no timer brings that.
        assert_eq!(retries.next(Instant::now()), None);
    }
}
