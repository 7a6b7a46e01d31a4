use super::least_load::least_loaded;
use super::recent::Recent;
use super::{Candidate, Choice, Fingerprint, RoutingPolicy, WorkerKey};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Blocks remembered of one worker: about 4 MiB of prompts, what fits into the KV cache of a worker and then some.
const BLOCKS_PER_WORKER: usize = 4096;
/// Workers remembered.
const MAX_WORKERS: usize = 4096;
/// How much unseen prompt, in bytes, weighs as much as a worker with all slots busy.
const BYTES_PER_LOAD: f64 = 4096.0;
/// A worker without a free slot may have so much more than its share of the load.
const IMBALANCE: f64 = 1.25;

/// The worker that saw most of the prompt before, unless it is too busy: its KV cache saves evaluating that part again.
///
/// The cost of a worker is the prompt's bytes it has not seen, plus its requests per slot times 4 KiB; the cheapest gets
/// the request. So a beginning that everybody shares draws nobody to one worker while another is idle, and a long
/// conversation stays where it is. A worker without a free slot is out where it has more than 1.25 times its share of
/// the model's load. With nothing seen by anybody, it is [`LeastLoad`](super::LeastLoad).
///
/// What was sent where is remembered, not asked: a guess at the worker's cache, bounded for each worker and forgotten with
/// it.
#[derive(Debug)]
pub struct Prefix {
    seen: Mutex<HashMap<WorkerKey, Recent>>,
    blocks_per_worker: usize,
}

impl Default for Prefix {
    fn default() -> Self {
        Self::remembering(BLOCKS_PER_WORKER)
    }
}

impl Prefix {
    /// Remembers so many blocks of each worker, at least 1.
    pub fn remembering(blocks_per_worker: usize) -> Self {
        Self { seen: Mutex::default(), blocks_per_worker: blocks_per_worker.max(1) }
    }

    fn remember(&self, seen: &mut HashMap<WorkerKey, Recent>, worker: WorkerKey, prompt: &Fingerprint) {
        if !seen.contains_key(&worker) && seen.len() >= MAX_WORKERS {
            // Keys ascend: the least is the process that began first.
            if let Some(oldest) = seen.keys().min().copied() {
                seen.remove(&oldest);
            }
        }
        let recent = seen.entry(worker).or_default();
        // From the end, so that the beginning, without which the rest is worth nothing, is forgotten last.
        let kept = prompt.blocks().len().min(self.blocks_per_worker);
        for block in prompt.blocks()[..kept].iter().rev() {
            recent.touch(block.hash, self.blocks_per_worker);
        }
    }
}

fn seen_bytes(recent: Option<&Recent>, prompt: &Fingerprint) -> u32 {
    let Some(recent) = recent else { return 0 };
    prompt.blocks().iter().take_while(|block| recent.contains(block.hash)).last().map_or(0, |block| block.end)
}

/// Whether a worker may get another request, by its own slots or by its share of all.
fn is_within_bound(candidate: &Candidate, total: u32, slots: u32) -> bool {
    let share = f64::from(total + 1) * f64::from(candidate.slots) / f64::from(slots.max(1));
    candidate.in_flight < candidate.slots || f64::from(candidate.in_flight + 1) <= (IMBALANCE * share).ceil()
}

impl RoutingPolicy for Prefix {
    fn name(&self) -> &'static str {
        "prefix"
    }

    fn choose(&self, prompt: &Fingerprint, candidates: &[Candidate]) -> Choice {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let total = candidates.iter().fold(0_u32, |sum, one| sum.saturating_add(one.in_flight));
        let slots = candidates.iter().fold(0_u32, |sum, one| sum.saturating_add(one.slots));
        let best = candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| is_within_bound(candidate, total.min(u32::MAX - 1), slots))
            .map(|(index, candidate)| {
                let known = seen_bytes(seen.get(&candidate.key), prompt);
                let cost = f64::from(prompt.bytes() - known) + BYTES_PER_LOAD * candidate.load();
                (index, known, cost)
            })
            .filter(|(_, known, _)| *known > 0)
            .min_by(|a, b| a.2.total_cmp(&b.2));
        let idlest = least_loaded(candidates);
        let known_to_idlest = seen_bytes(seen.get(&candidates[idlest].key), prompt);
        let idlest_cost = f64::from(prompt.bytes() - known_to_idlest) + BYTES_PER_LOAD * candidates[idlest].load();
        let (index, known) = match best {
            Some((index, known, cost)) if cost <= idlest_cost => (index, known),
            _ => (idlest, known_to_idlest),
        };
        self.remember(&mut seen, candidates[index].key, prompt);
        let chosen = &candidates[index];
        let why = format!("prefix {known}/{} bytes seen, load {}/{}", prompt.bytes(), chosen.in_flight, chosen.slots);
        Choice { index, why }
    }

    fn forget(&self, worker: WorkerKey) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::FingerprintBuilder;
    use proptest::prelude::*;

    fn conversation(messages: &[&str]) -> Fingerprint {
        let mut builder = FingerprintBuilder::new("m");
        messages.iter().for_each(|message| builder.part(message.as_bytes()));
        builder.finish()
    }

    fn workers(loads: &[u32]) -> Vec<Candidate> {
        let worker = |(key, in_flight): (u64, &u32)| Candidate { key: WorkerKey(key), in_flight: *in_flight, slots: 4 };
        (0..).zip(loads).map(worker).collect()
    }

    #[test]
    fn a_conversation_stays_with_its_worker() {
        let policy = Prefix::default();
        let long = "once upon a time ".repeat(1000);
        let first = policy.choose(&conversation(&[&long]), &workers(&[0, 0, 0])).index;
        let mut loads = [0, 0, 0];
        loads[first] = 3;
        let next = policy.choose(&conversation(&[&long, "and then?"]), &workers(&loads));
        assert_eq!(next.index, first);
        assert_eq!(next.why, "prefix 17000/17009 bytes seen, load 3/4");
    }

    #[test]
    fn a_short_beginning_that_all_share_draws_nobody_to_a_busy_worker() {
        let policy = Prefix::default();
        let first = policy.choose(&conversation(&["be helpful", "a"]), &workers(&[0, 0])).index;
        let mut loads = [0, 0];
        loads[first] = 1;
        assert_ne!(policy.choose(&conversation(&["be helpful", "b"]), &workers(&loads)).index, first);
    }

    #[test]
    fn one_hot_prefix_does_not_pile_up() {
        let policy = Prefix::default();
        let hot = conversation(&[&"hot ".repeat(100_000)]);
        let mut loads = [0_u32; 4];
        for _ in 0..64 {
            loads[policy.choose(&hot, &workers(&loads)).index] += 1;
        }
        assert!(loads.iter().all(|load| (12..=21).contains(load)), "{loads:?}");
    }

    #[test]
    fn a_worker_that_is_gone_is_forgotten() {
        let policy = Prefix::default();
        let prompt = conversation(&["hello"]);
        policy.choose(&prompt, &workers(&[0]));
        assert_eq!(policy.seen.lock().unwrap().len(), 1);
        policy.forget(WorkerKey(0));
        assert!(policy.seen.lock().unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn memory_is_bounded(
            prompts in proptest::collection::vec(proptest::collection::vec("[a-c]{1,40}", 0..30), 1..60)
        ) {
            let policy = Prefix::remembering(16);
            for messages in &prompts {
                let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
                policy.choose(&conversation(&messages), &workers(&[0, 1, 2]));
                for recent in policy.seen.lock().unwrap().values() {
                    prop_assert!(recent.size().0 <= 16);
                }
            }
        }
    }
}
