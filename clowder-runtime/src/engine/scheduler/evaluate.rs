//! A batch of one adapter: its evaluation, what comes of it, and what is done where it fails.

use super::{Part, Scheduler, send};
use crate::engine::counters::add;
use crate::engine::evaluator::Evaluator;
use crate::engine::logprob::logprob;
use crate::engine::slot::Slot;
use crate::llama::{DecodeError, SeqId};
use clowder_core::engine::{EngineError, FinishReason, Token};
use std::time::Instant;

impl<E: Evaluator> Scheduler<E> {
    /// Evaluates parts in one batch, or in several where one does not go.
    pub(super) fn evaluate(&mut self, parts: &[Part]) {
        let begun = Instant::now();
        if let Some(part) = parts.first() {
            self.adapter = self.slots[part.slot].adapter;
            self.evaluator.select(self.adapter);
        }
        self.batch.clear();
        let mut outputs = Vec::with_capacity(parts.len());
        for part in parts {
            let slot = &mut self.slots[part.slot];
            let Some(generation) = slot.generation.as_mut().filter(|_| slot.resident.len() == part.from) else {
                continue;
            };
            generation.begun.get_or_insert(begun);
            let sequence = SeqId::try_from(part.slot).unwrap_or(SeqId::MAX);
            let whole = part.to == generation.tokens.len();
            let tokens = generation.tokens[part.from..part.to].iter().map(|&token| (token, false));
            let guesses = generation.guesses.iter().filter(|_| whole).map(|&token| (token, true));
            let mut first = None;
            for (position, (token, is_guess)) in (part.from..).zip(tokens.chain(guesses)) {
                let output = is_guess || position + 1 == generation.tokens.len();
                let place = u32::try_from(position).unwrap_or(u32::MAX);
                let row = self.batch.push(token, place, sequence, output);
                first = first.or(row.filter(|_| output));
            }
            outputs.push((*part, first));
        }
        if self.batch.len() == 0 {
            return;
        }
        match self.evaluator.decode(&mut self.batch) {
            Ok(()) => {
                self.pace.learn(self.batch.len(), begun.elapsed());
                self.accept(&outputs);
            }
            Err(DecodeError::NoRoom) => self.make_room(parts),
            Err(error @ DecodeError::Broken(_)) => self.isolate(parts, error),
        }
    }

    /// After a batch: its tokens are resident, and where a sequence is complete its next tokens are chosen.
    fn accept(&mut self, outputs: &[(Part, Option<usize>)]) {
        for &(part, _) in outputs {
            let slot = &mut self.slots[part.slot];
            if let Some(generation) = &slot.generation {
                slot.resident.extend_from_slice(&generation.tokens[part.from..part.to]);
                add(&self.counters.prompt_tokens, part.to.min(generation.prompt).saturating_sub(part.from));
            }
        }
        for &(part, index) in outputs {
            if let Some(index) = index {
                self.choose(part.slot, index);
            }
        }
    }

    /// Chooses the token after the one in row `index` and, as long as it is the one that was guessed, those after the rows
    /// that follow. What was guessed in vain leaves the cache.
    fn choose(&mut self, slot: usize, index: usize) {
        let Some(generation) = &mut self.slots[slot].generation else { return };
        let guesses = std::mem::take(&mut generation.guesses);
        generation.drafted += guesses.len();
        add(&self.counters.drafted_tokens, guesses.len());
        let mut right = 0;
        for row in 0..=guesses.len() {
            let guess = guesses.get(row).copied();
            let Some(chosen) = self.choose_next(slot, index + row, guess).filter(|&chosen| Some(chosen) == guess)
            else {
                break;
            };
            right += 1;
            self.slots[slot].resident.push(chosen);
            if self.slots[slot].generation.is_none() {
                break;
            }
        }
        if guesses.is_empty() {
            return;
        }
        if let Some(generation) = &mut self.slots[slot].generation {
            generation.length.learn(guesses.len(), right);
        }
        if right < guesses.len() && !self.cut(slot) {
            self.forget(slot);
        }
    }

    /// Chooses the next token by the logits of row `index`; `None` where there is none.
    fn choose_next(&mut self, slot: usize, index: usize, guess: Option<Token>) -> Option<Token> {
        let generation = self.slots[slot].generation.as_mut()?;
        generation.first.get_or_insert_with(Instant::now);
        if generation.most == 0 {
            self.finish(slot, FinishReason::Length);
            return None;
        }
        let Some(logits) = self.evaluator.logits(index) else {
            self.fail(slot, EngineError::Failed { source: "llama.cpp gives no logits".into() });
            return None;
        };
        let token = generation.sampler.choose(logits, &mut self.candidates);
        let evaluator = &self.evaluator;
        let piece = |token| {
            let mut bytes = Vec::new();
            evaluator.piece(token, &mut bytes);
            bytes
        };
        let probability = generation.logprobs.map(|top| logprob(logits, token, top as usize, piece));
        generation.tokens.push(token);
        add(&self.counters.completion_tokens, 1);
        if guess == Some(token) {
            generation.accepted += 1;
            add(&self.counters.accepted_tokens, 1);
        }
        if self.evaluator.ends(token) && !generation.ignore_eos {
            self.finish(slot, FinishReason::Stop);
            return Some(token);
        }
        self.bytes.clear();
        self.evaluator.piece(token, &mut self.bytes);
        let released = generation.output.push(&self.bytes, probability);
        let stopped = released.stopped;
        let done = generation.completion() >= generation.most;
        send(generation, released);
        if stopped {
            self.end_with(slot, FinishReason::Stop);
        } else if done {
            self.finish(slot, FinishReason::Length);
        }
        Some(token)
    }

    /// Cuts the cache of a slot back to what is known to be in it; `false` where it cannot be.
    fn cut(&mut self, slot: usize) -> bool {
        let resident = u32::try_from(self.slots[slot].resident.len()).unwrap_or(u32::MAX);
        let sequence = SeqId::try_from(slot).unwrap_or(SeqId::MAX);
        self.evaluator.forget(sequence, resident) && self.evaluator.resident(sequence) == resident
    }

    /// The cache is full: the KV that was unused for longest goes; where none is left, the guesses do, and then the batch is
    /// halved.
    fn make_room(&mut self, parts: &[Part]) {
        let idle = self.slots.iter().enumerate();
        let idle = idle.filter(|(_, slot)| slot.generation.is_none() && !slot.resident.is_empty());
        if let Some(slot) = idle.min_by_key(|(_, slot)| slot.used).map(|(index, _)| index) {
            self.forget(slot);
            return self.evaluate(parts);
        }
        let guesses = |slot: &mut Slot| slot.generation.as_mut().map(|it| std::mem::take(&mut it.guesses));
        let guessed = parts.iter().filter_map(|part| guesses(&mut self.slots[part.slot]));
        if guessed.filter(|guesses| !guesses.is_empty()).count() > 0 {
            return self.evaluate(parts);
        }
        match parts {
            [part] if part.to - part.from < 2 => {
                self.forget(part.slot);
                self.fail(part.slot, EngineError::Failed { source: Box::new(DecodeError::NoRoom) });
            }
            [part] => {
                let middle = part.from.midpoint(part.to);
                self.evaluate(&[Part { to: middle, ..*part }]);
                self.evaluate(&[Part { from: middle, ..*part }]);
            }
            parts => {
                let (head, tail) = parts.split_at(parts.len() / 2);
                self.evaluate(head);
                self.evaluate(tail);
            }
        }
    }

    /// Evaluation broke: the cache is cut back to what is known to be in it, and each sequence tried alone, so that only
    /// those fail that cannot go on.
    fn isolate(&mut self, parts: &[Part], error: DecodeError) {
        tracing::error!(%error, sequences = parts.len(), "evaluation failed");
        for part in parts {
            let whole = self.cut(part.slot);
            if parts.len() == 1 || !whole {
                self.forget(part.slot);
                self.fail(part.slot, EngineError::Failed { source: Box::new(error) });
            }
        }
        if parts.len() > 1 {
            parts.iter().for_each(|part| self.evaluate(&[*part]));
        }
    }
}
