use super::{Candidate, Choice, Fingerprint, RoutingPolicy};
use std::sync::atomic::{AtomicUsize, Ordering};

/// One worker after the other, whatever they have to do.
#[derive(Debug, Default)]
pub struct RoundRobin {
    next: AtomicUsize,
}

impl RoutingPolicy for RoundRobin {
    fn name(&self) -> &'static str {
        "round-robin"
    }

    fn choose(&self, _: &Fingerprint, candidates: &[Candidate]) -> Choice {
        let index = self.next.fetch_add(1, Ordering::Relaxed) % candidates.len().max(1);
        Choice { index, why: "round-robin".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WorkerKey;

    #[test]
    fn each_in_turn() {
        let candidates = [1, 2, 3].map(|key| Candidate { key: WorkerKey(key), in_flight: 0, slots: 1 });
        let policy = RoundRobin::default();
        let chosen: Vec<_> = (0..6).map(|_| policy.choose(&Fingerprint::default(), &candidates).index).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }
}
