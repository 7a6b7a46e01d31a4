//! Prompts of a given length that no cache has seen, but for the prefix they are meant to share.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Common words: about one token each in most vocabularies.
const WORDS: [&str; 40] = [
    "the", "cat", "sat", "on", "a", "mat", "and", "looked", "at", "moon", "while", "rain", "fell", "over", "old",
    "town", "where", "people", "walk", "home", "with", "bread", "in", "their", "hands", "under", "light", "of",
    "street", "lamps", "that", "hum", "like", "small", "bees", "who", "dream", "about", "warm", "days",
];

/// Makes the prompts of one run.
#[derive(Clone, Debug)]
pub(super) struct Prompts {
    seed: u64,
    shared: String,
    own: u32,
}

impl Prompts {
    /// Prompts of `tokens` tokens, about, `shared` of them the same in all.
    pub(super) fn new(seed: u64, tokens: u32, shared: f64) -> Self {
        let common = (f64::from(tokens) * shared) as u32;
        let mut rng = StdRng::seed_from_u64(seed);
        Self { seed, shared: words(&mut rng, common), own: tokens - common }
    }

    /// The prompt of a request.
    pub(super) fn get(&self, request: u64) -> String {
        let mut rng = StdRng::seed_from_u64(self.seed ^ request.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let own = words(&mut rng, self.own);
        [self.shared.as_str(), own.as_str()].join(" ").trim().to_owned()
    }
}

fn words(rng: &mut StdRng, count: u32) -> String {
    let words: Vec<&str> = (0..count).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_differ_after_what_they_share_and_come_again() {
        let prompts = Prompts::new(1, 40, 0.5);
        let (first, second) = (prompts.get(0), prompts.get(1));
        assert_ne!(first, second);
        assert_eq!(first, Prompts::new(1, 40, 0.5).get(0));
        let common = first.split(' ').zip(second.split(' ')).take_while(|(a, b)| a == b).count();
        assert!((20..40).contains(&common), "{common}");
        assert_eq!(first.split(' ').count(), 40);
    }
}
