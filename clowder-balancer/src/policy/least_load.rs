use super::{Candidate, Choice, Fingerprint, RoutingPolicy};

/// The worker with the fewest requests per slot; of equals, any.
#[derive(Debug, Default)]
pub struct LeastLoad;

/// The least loaded candidate. Equals share by chance: taking the first would leave the others cold.
pub(super) fn least_loaded(candidates: &[Candidate]) -> usize {
    let start = rand::random_range(0..candidates.len().max(1));
    let turned = (start..candidates.len()).chain(0..start);
    turned.min_by(|a, b| candidates[*a].load().total_cmp(&candidates[*b].load())).unwrap_or_default()
}

impl RoutingPolicy for LeastLoad {
    fn name(&self) -> &'static str {
        "least-load"
    }

    fn choose(&self, _: &Fingerprint, candidates: &[Candidate]) -> Choice {
        let index = least_loaded(candidates);
        let why = format!("least-load {}/{}", candidates[index].in_flight, candidates[index].slots);
        Choice { index, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::WorkerKey;

    #[test]
    fn load_counts_by_slot() {
        let worker = |key, in_flight, slots| Candidate { key: WorkerKey(key), in_flight, slots };
        let candidates = [worker(1, 1, 1), worker(2, 3, 8), worker(3, 2, 4)];
        let choice = LeastLoad.choose(&Fingerprint::default(), &candidates);
        assert_eq!(choice, Choice { index: 1, why: "least-load 3/8".into() });
    }
}
