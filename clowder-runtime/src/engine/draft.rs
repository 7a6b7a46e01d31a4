//! Guessing ahead with a smaller model: speculative decoding (Leviathan et al. 2023).
//!
//! The draft model reads what a sequence is so far and guesses what it goes on with. The scheduler evaluates the guesses
//! with the model itself, all at once, and keeps those that the model's own sampler would have chosen.

use super::evaluator::Evaluator;
use super::pace::{Pace, deal};
use super::prefix::common;
use crate::llama::{Batch, DecodeError, SeqId};
use clowder_core::engine::Token;
use std::time::{Duration, Instant};

mod length;
mod worth;

pub(crate) use length::DraftLength;
use worth::Worth;

/// The least probability of a token that is guessed; llama.cpp's default.
const LEAST_PROBABILITY: f64 = 0.75;

/// Tokens that a sequence must lack before those of others are looked through for them.
const WORTH_SHARING: usize = 32;

/// What bounds a drafter.
#[derive(Clone, Debug)]
pub(crate) struct DraftLimits {
    /// The most tokens guessed at once.
    pub(crate) tokens: usize,
    /// Tokens of one sequence, guesses included.
    pub(crate) context: usize,
    /// Sequences, numbered as the slots they guess for.
    pub(crate) slots: usize,
    /// Tokens of one batch.
    pub(crate) batch: usize,
    /// Tokens that both vocabularies have.
    pub(crate) vocabulary: u32,
}

/// A sequence that wants guesses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    /// Its slot.
    pub(crate) slot: usize,
    /// All of it so far; not empty.
    pub(crate) tokens: &'a [Token],
    /// The most guesses; at least one.
    pub(crate) most: usize,
    /// Whether it may end; where it goes on past the end of the turn, that is never what comes.
    pub(crate) ends: bool,
}

/// A draft model with the KV of the sequences it has read.
pub(crate) struct Drafter<E> {
    evaluator: E,
    limits: DraftLimits,
    /// Tokens whose KV is in the cache, by slot. What is wrong in them is cut when the slot asks again.
    resident: Vec<Vec<Token>>,
    batch: Batch,
    pace: Pace,
    worth: Worth,
    /// Whether there was no more to read for the last guesses than a step leaves behind.
    caught_up: bool,
}

impl<E: Evaluator> Drafter<E> {
    /// A drafter that has read nothing.
    pub(crate) fn new(evaluator: E, limits: DraftLimits) -> Self {
        Self {
            resident: vec![Vec::new(); limits.slots],
            batch: Batch::new(limits.batch),
            pace: Pace::new(limits.batch),
            worth: Worth::new(),
            caught_up: true,
            evaluator,
            limits,
        }
    }

    /// How far a sequence of so many tokens may be guessed ahead.
    pub(crate) fn reach(&self, tokens: usize) -> usize {
        self.limits.context.saturating_sub(tokens).min(self.limits.tokens)
    }

    /// Whether guesses gain time at present.
    pub(crate) fn is_worth_it(&self) -> bool {
        self.worth.guesses()
    }

    /// Learns what a step took in which so many sequences, and nothing else, went on by so many tokens.
    pub(crate) fn learn(&mut self, sequences: usize, tokens: usize, took: Duration) {
        // What there is to read of a prompt is read once, and says nothing of the tokens after it.
        if self.caught_up {
            self.worth.learn(sequences, tokens, took);
        }
    }

    /// The evaluator, for tests.
    #[cfg(test)]
    pub(crate) fn evaluator(&mut self) -> &mut E {
        &mut self.evaluator
    }

    /// Guesses for each that asks, in order; `None` for one whose tokens are not all read yet, or cannot be.
    ///
    /// # Errors
    /// [`DecodeError`] where the draft model cannot be evaluated any more.
    pub(crate) fn guess(&mut self, asks: &[Ask<'_>]) -> Result<Vec<Option<Vec<Token>>>, DecodeError> {
        let mut guesses: Vec<Option<Vec<Token>>> = vec![None; asks.len()];
        let mut rows = self.read(asks)?;
        while !rows.is_empty() {
            let mut next = Vec::with_capacity(rows.len());
            for (ask, row) in rows {
                let so_far = guesses[ask].get_or_insert_default();
                let Some(token) = self.evaluator.logits(row).and_then(|logits| self.likely(logits)) else { continue };
                let is_end = self.evaluator.ends(token);
                if is_end && !asks[ask].ends {
                    continue;
                }
                so_far.push(token);
                if so_far.len() < asks[ask].most && !is_end {
                    next.push((ask, token));
                }
            }
            rows = self.go_on(asks, &next)?;
        }
        Ok(guesses)
    }

    /// Reads what is new in the sequences, as far as one batch goes. Says in which rows there are logits of whose end.
    fn read(&mut self, asks: &[Ask<'_>]) -> Result<Vec<(usize, usize)>, DecodeError> {
        asks.iter().for_each(|ask| self.settle(ask));
        let wanted = |ask: &Ask<'_>| match ask.tokens.iter().all(|&token| token < self.limits.vocabulary) {
            true => ask.tokens.len() - self.resident[ask.slot].len(),
            false => 0,
        };
        let wanted: Vec<usize> = asks.iter().map(wanted).collect();
        self.caught_up = wanted.iter().all(|&wanted| wanted <= self.limits.tokens + 1);
        let shares = deal(self.pace.budget(asks.len()), &wanted);
        self.batch.clear();
        let mut rows = Vec::with_capacity(asks.len());
        for (number, (ask, share)) in asks.iter().zip(shares).enumerate() {
            let resident = &mut self.resident[ask.slot];
            let begin = resident.len();
            for (position, &token) in ask.tokens.iter().enumerate().skip(begin).take(share) {
                let is_last = position + 1 == ask.tokens.len();
                let row = self.batch.push(token, index(position), index(ask.slot), is_last);
                rows.extend(row.filter(|_| is_last).map(|row| (number, row)));
                resident.push(token);
            }
        }
        let tokens = self.batch.len();
        let begun = Instant::now();
        if !self.evaluate()? {
            return Ok(Vec::new());
        }
        self.pace.learn(tokens, begun.elapsed());
        Ok(rows)
    }

    /// Reads one more token each.
    fn go_on(&mut self, asks: &[Ask<'_>], next: &[(usize, Token)]) -> Result<Vec<(usize, usize)>, DecodeError> {
        self.batch.clear();
        let mut rows = Vec::with_capacity(next.len());
        for &(ask, token) in next {
            let slot = asks[ask].slot;
            let resident = &mut self.resident[slot];
            if let Some(row) = self.batch.push(token, index(resident.len()), index(slot), true) {
                resident.push(token);
                rows.push((ask, row));
            }
        }
        Ok(if self.evaluate()? { rows } else { Vec::new() })
    }

    /// Evaluates the batch; `false` where there was nothing in it, or no room for it.
    fn evaluate(&mut self) -> Result<bool, DecodeError> {
        if self.batch.len() == 0 {
            return Ok(false);
        }
        match self.evaluator.decode(&mut self.batch) {
            Ok(()) => Ok(true),
            Err(DecodeError::NoRoom) => {
                (0..self.resident.len()).for_each(|slot| self.forget(slot));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a slot hold no more than the beginning of its sequence, and as much of it as any slot has. The last token is
    /// read in any case: its logits are the first guess.
    fn settle(&mut self, ask: &Ask<'_>) {
        let tokens = &ask.tokens[..ask.tokens.len().saturating_sub(1)];
        let mut keep = common(tokens, &self.resident[ask.slot]);
        let donor = if tokens.len() - keep < WORTH_SHARING { None } else { self.donor(tokens, keep) };
        if let Some((donor, held)) = donor {
            self.forget(ask.slot);
            self.evaluator.share(index(donor), index(ask.slot), index(held));
            self.resident[ask.slot].extend_from_slice(&tokens[..held]);
            keep = held;
        } else if keep < self.resident[ask.slot].len() {
            self.evaluator.forget(index(ask.slot), index(keep));
            self.resident[ask.slot].truncate(keep);
        }
        if self.evaluator.resident(index(ask.slot)) != index(keep) {
            self.forget(ask.slot);
        }
    }

    /// The slot that holds more than `keep` of a sequence's beginning, and how much.
    fn donor(&self, tokens: &[Token], keep: usize) -> Option<(usize, usize)> {
        let held = self.resident.iter().map(|resident| common(tokens, resident)).enumerate();
        held.max_by_key(|(_, held)| *held).filter(|(_, held)| *held > keep)
    }

    fn forget(&mut self, slot: usize) {
        self.evaluator.forget(index(slot), 0);
        self.resident[slot].clear();
    }

    /// The likeliest token, where it is likely enough to be guessed.
    fn likely(&self, logits: &[f32]) -> Option<Token> {
        let known = &logits[..logits.len().min(self.limits.vocabulary as usize)];
        let (token, highest) = known.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
        (sum.recip() >= LEAST_PROBABILITY).then(|| index(token))
    }
}

/// Positions, slots and tokens are far below the limit.
fn index(number: usize) -> SeqId {
    u32::try_from(number).unwrap_or(u32::MAX)
}
