//! How many tokens ahead are guessed.

/// The fewest and the most tokens that a sequence goes on without guesses after none was right.
const PAUSES: std::ops::RangeInclusive<usize> = 2..=64;

/// Guesses that are tried first.
const FIRST: usize = 4;

/// How far ahead it is worth guessing for one sequence, by how many of its guesses were right: more where all were, as far
/// as was right where some were, and none for a while, each time a longer one, where none are. A draft model that does not
/// know what the model says so costs little.
#[derive(Debug)]
pub(crate) struct DraftLength {
    now: usize,
    /// Tokens to go on without guesses, and how many it will be next time.
    waits: usize,
    pause: usize,
}

impl DraftLength {
    /// For a sequence of which nothing is known.
    pub(crate) fn new() -> Self {
        Self { now: FIRST, waits: 0, pause: *PAUSES.start() }
    }

    /// Guesses worth their evaluation for the next token, at most `most`.
    pub(crate) fn next(&mut self, most: usize) -> usize {
        if self.waits > 0 {
            self.waits -= 1;
            return 0;
        }
        self.now.min(most)
    }

    /// Learns that of so many guesses so many were right; of none none were, the draft model was not sure of any.
    pub(crate) fn learn(&mut self, guesses: usize, right: usize) {
        if right == 0 {
            self.now /= 2;
            if self.now == 0 {
                self.now = 1;
                self.waits = self.pause;
                self.pause = (self.pause * 2).min(*PAUSES.end());
            }
            return;
        }
        self.pause = *PAUSES.start();
        self.now = if right == guesses { self.now.max(guesses + 2) } else { right + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_guesses_are_followed_by_more() {
        let mut length = DraftLength::new();
        assert_eq!(length.next(0), 0);
        for expected in [4, 6, 8, 8] {
            let guesses = length.next(8);
            assert_eq!(guesses, expected);
            length.learn(guesses, guesses);
        }
        length.learn(8, 3);
        assert_eq!(length.next(8), 4);
    }

    #[test]
    fn wrong_guesses_become_rare() {
        let mut length = DraftLength::new();
        let mut guessed = 0;
        for _ in 0..1000 {
            let guesses = length.next(8);
            if guesses > 0 {
                guessed += guesses;
                length.learn(guesses, 0);
            }
        }
        assert!(guessed < 30, "{guessed} guesses for 1000 tokens");
        assert!(guessed > 10, "it is still tried: {guessed}");
    }
}
