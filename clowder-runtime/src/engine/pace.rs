//! How many prompt tokens go into a batch beside tokens of output.

use std::time::Duration;

/// The longest that sequences in mid-output shall wait for a batch that also evaluates prompts.
const TARGET: Duration = Duration::from_millis(100);

/// The least prompt tokens of a batch: below it the cost of a batch outweighs its tokens.
const LEAST: usize = 32;

/// Learns the speed of prompt evaluation, so that a long prompt stalls nobody for longer than [`TARGET`].
#[derive(Debug)]
pub(crate) struct Pace {
    batch: usize,
    /// Seconds a token, smoothed; `None` before the first measurement.
    token: Option<f64>,
}

impl Pace {
    /// For batches of at most `batch` tokens.
    pub(crate) fn new(batch: usize) -> Self {
        Self { batch, token: None }
    }

    /// Prompt tokens that the next batch may take, with so many sequences in mid-output.
    pub(crate) fn budget(&self, decoding: usize) -> usize {
        let left = self.batch.saturating_sub(decoding);
        match self.token {
            _ if decoding == 0 => left,
            Some(seconds) => ((TARGET.as_secs_f64() / seconds) as usize).max(LEAST).min(left),
            None => (LEAST * 4).min(left),
        }
    }

    /// Learns from a batch of so many tokens.
    pub(crate) fn learn(&mut self, tokens: usize, took: Duration) {
        if tokens >= LEAST {
            let seconds = (took.as_secs_f64() / tokens as f64).max(1e-9);
            self.token = Some(self.token.map_or(seconds, |token| token * 0.8 + seconds * 0.2));
        }
    }
}

/// Deals `budget` tokens out so that short prompts are through soon and long ones still get on: all get the same, and what
/// a short one does not need goes to the others.
pub(crate) fn deal(budget: usize, wanted: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| wanted[index]);
    let mut given = vec![0; wanted.len()];
    let mut left = budget;
    for (done, &index) in order.iter().enumerate() {
        let share = left.div_ceil(order.len() - done);
        given[index] = wanted[index].min(share);
        left -= given[index];
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nobody_in_mid_output_gets_the_whole_batch() {
        let pace = Pace::new(512);
        assert_eq!(pace.budget(0), 512);
        assert_eq!(pace.budget(2), 128);
    }

    #[test]
    fn the_budget_follows_the_machine() {
        let mut slow = Pace::new(512);
        slow.learn(512, Duration::from_secs(5));
        assert_eq!(slow.budget(1), LEAST);
        let mut fast = Pace::new(512);
        fast.learn(512, Duration::from_millis(1));
        assert_eq!(fast.budget(4), 508);
        let mut middling = Pace::new(512);
        middling.learn(512, Duration::from_millis(512));
        assert_eq!(middling.budget(1), 100);
    }

    #[test]
    fn a_short_prompt_is_not_behind_a_long_one() {
        assert_eq!(deal(100, &[1000, 10]), [90, 10]);
        assert_eq!(deal(100, &[1000, 1000]), [50, 50]);
        assert_eq!(deal(1, &[5, 5]), [1, 0]);
    }

    proptest! {
        #[test]
        fn dealing_is_exact(budget in 0_usize..600, wanted in prop::collection::vec(0_usize..400, 0..6)) {
            let given = deal(budget, &wanted);
            prop_assert!(given.iter().zip(&wanted).all(|(given, wanted)| given <= wanted));
            prop_assert_eq!(given.iter().sum::<usize>(), budget.min(wanted.iter().sum()));
        }
    }
}
