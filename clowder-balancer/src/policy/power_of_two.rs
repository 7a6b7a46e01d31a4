use super::{Candidate, Choice, Fingerprint, RoutingPolicy};

/// The less loaded of two workers drawn by chance: nearly as even as [`LeastLoad`](super::LeastLoad), without every
/// gateway of several running for the same worker.
#[derive(Debug, Default)]
pub struct PowerOfTwo;

impl RoutingPolicy for PowerOfTwo {
    fn name(&self) -> &'static str {
        "power-of-two"
    }

    fn choose(&self, _: &Fingerprint, candidates: &[Candidate]) -> Choice {
        let count = candidates.len().max(1);
        let first = rand::random_range(0..count);
        let second = if count > 1 { (first + rand::random_range(1..count)) % count } else { first };
        let index = if candidates[second].load() < candidates[first].load() { second } else { first };
        Choice { index, why: format!("power-of-two {}/{}", candidates[index].in_flight, candidates[index].slots) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WorkerKey;

    #[test]
    fn of_two_the_less_loaded() {
        let candidates = [3, 1].map(|in_flight| Candidate { key: WorkerKey(in_flight.into()), in_flight, slots: 4 });
        for _ in 0..50 {
            assert_eq!(PowerOfTwo.choose(&Fingerprint::default(), &candidates).index, 1);
        }
    }
}
