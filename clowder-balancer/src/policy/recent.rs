//! A bounded set of hashes that forgets the one touched longest ago.

use std::collections::{HashMap, VecDeque};

/// Such as the blocks that one worker most likely still has in its KV cache.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Each hash with the time of its last touch.
    touched: HashMap<u64, u64>,
    /// Touches in order; those that a later touch outdated are skipped when they come up.
    order: VecDeque<(u64, u64)>,
    now: u64,
}

impl Recent {
    pub(crate) fn contains(&self, hash: u64) -> bool {
        self.touched.contains_key(&hash)
    }

    /// Adds or renews a hash, and forgets until at most `capacity` are left.
    pub(crate) fn touch(&mut self, hash: u64, capacity: usize) {
        self.now += 1;
        self.touched.insert(hash, self.now);
        self.order.push_back((hash, self.now));
        while self.touched.len() > capacity || self.order.len() > capacity.saturating_mul(2) {
            let Some((oldest, at)) = self.order.pop_front() else { break };
            if self.touched.get(&oldest) == Some(&at) {
                self.touched.remove(&oldest);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.touched.len(), self.order.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_one_touched_longest_ago_goes() {
        let mut recent = Recent::default();
        for hash in [1, 2, 1, 3] {
            recent.touch(hash, 2);
        }
        assert!(recent.contains(1) && recent.contains(3) && !recent.contains(2));
    }

    proptest! {
        #[test]
        fn bounded_and_the_last_is_always_in(
            touches in proptest::collection::vec(0_u64..40, 1..400), capacity in 1_usize..16
        ) {
            let mut recent = Recent::default();
            for hash in touches {
                recent.touch(hash, capacity);
                prop_assert!(recent.contains(hash));
                let (hashes, touches) = recent.size();
                prop_assert!(hashes <= capacity && touches <= 2 * capacity);
            }
        }
    }
}
