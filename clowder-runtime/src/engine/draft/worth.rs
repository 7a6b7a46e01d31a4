//! Whether guessing gains time at all.

use std::time::Duration;

/// Steps with guesses before they are compared, where it is not known that they gain time, and where it is.
const TRIED: u32 = 32;
const TRUSTED: u32 = 512;

/// Steps without guesses that they are compared with.
const COMPARED: u32 = 8;

/// The fewest and the most steps without guesses after those gained nothing.
const RESTS: std::ops::RangeInclusive<u32> = 256..=8192;

/// Compares the time that a token takes with guesses and without, now and then. Right guesses may still gain nothing: the
/// draft model may take as long as the model itself, or so many sequences go on at once that a guess costs what a token does.
#[derive(Debug)]
pub(crate) struct Worth {
    phase: Phase,
    /// Steps that the phase goes on for.
    left: u32,
    rest: u32,
    with: Speed,
    without: Speed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Guess,
    Compare,
    Rest,
}

/// What steps of so many sequences took, and the tokens they gave.
#[derive(Clone, Copy, Debug, Default)]
struct Speed {
    sequences: usize,
    seconds: f64,
    tokens: usize,
}

impl Speed {
    fn add(&mut self, sequences: usize, tokens: usize, took: Duration) {
        if self.sequences != sequences {
            *self = Self { sequences, ..Self::default() };
        }
        self.seconds += took.as_secs_f64();
        self.tokens += tokens;
    }

    /// Seconds a token.
    fn token(&self) -> f64 {
        self.seconds / self.tokens.max(1) as f64
    }
}

impl Worth {
    /// Nothing is known.
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Guess,
            left: TRIED,
            rest: *RESTS.start(),
            with: Speed::default(),
            without: Speed::default(),
        }
    }

    /// Whether the next step shall have guesses.
    pub(crate) fn guesses(&self) -> bool {
        self.phase == Phase::Guess
    }

    /// Learns what a step took in which so many sequences, and nothing else, went on by so many tokens.
    pub(crate) fn learn(&mut self, sequences: usize, tokens: usize, took: Duration) {
        match self.phase {
            Phase::Guess => self.with.add(sequences, tokens, took),
            Phase::Compare => self.without.add(sequences, tokens, took),
            Phase::Rest => {}
        }
        self.left -= 1;
        if self.left > 0 {
            return;
        }
        (self.phase, self.left) = match self.phase {
            Phase::Guess => (Phase::Compare, COMPARED),
            Phase::Rest => (Phase::Guess, TRIED),
            Phase::Compare if self.with.sequences != self.without.sequences => (Phase::Guess, TRIED),
            Phase::Compare if self.with.token() <= self.without.token() => {
                self.rest = *RESTS.start();
                (Phase::Guess, TRUSTED)
            }
            Phase::Compare => {
                let rest = self.rest;
                self.rest = (rest * 2).min(*RESTS.end());
                (Phase::Rest, rest)
            }
        };
        match self.phase {
            Phase::Guess => self.with = Speed::default(),
            Phase::Compare => self.without = Speed::default(),
            Phase::Rest => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of so many steps, those with guesses, where such a step takes so long and gives so many tokens.
    fn guessed(steps: u32, took: Duration, tokens: usize) -> u32 {
        let mut worth = Worth::new();
        let mut guessed = 0;
        for _ in 0..steps {
            if worth.guesses() {
                guessed += 1;
                worth.learn(1, tokens, took);
            } else {
                worth.learn(1, 1, Duration::from_millis(10));
            }
        }
        guessed
    }

    #[test]
    fn guesses_that_gain_time_go_on() {
        assert!(guessed(10_000, Duration::from_millis(20), 3) > 9_800);
    }

    #[test]
    fn guesses_that_cost_time_are_left_but_for_a_try_now_and_then() {
        let few = guessed(100_000, Duration::from_millis(40), 3);
        assert!((32 * 10..=32 * 20).contains(&few), "{few}");
    }

    #[test]
    fn different_numbers_of_sequences_are_not_compared() {
        let mut worth = Worth::new();
        (0..TRIED).for_each(|_| worth.learn(4, 4, Duration::from_millis(50)));
        assert!(!worth.guesses());
        (0..COMPARED).for_each(|_| worth.learn(1, 1, Duration::from_millis(1)));
        assert!(worth.guesses(), "one sequence is faster than four whatever is guessed");
    }
}
