//! The engine's thread: which tokens go into the next batch, and what comes of them.

use super::counters::{Counters, add};
use super::evaluator::Evaluator;
use super::inbox::{Inbox, Job};
use super::logprob::logprob;
use super::output::Released;
use super::pace::{Pace, deal};
use super::prefix::{Candidate, choose};
use super::slot::{Generation, Slot};
use crate::llama::{Batch, Candidates, DecodeError, Sampler, SeqId};
use clowder_core::engine::{EngineError, FinishReason, Token};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// What bounds a scheduler.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Tokens of one request, prompt and output.
    pub(crate) context: usize,
    /// Requests at the same time.
    pub(crate) slots: usize,
    /// Tokens of one batch.
    pub(crate) batch: usize,
    /// Tokens in the vocabulary, and those of them that end the output.
    pub(crate) vocabulary: u32,
    pub(crate) ends: Vec<Token>,
    /// Whether a sequence can be cut and shared at any token.
    pub(crate) partial: bool,
}

/// Tokens `from..to` of the generation in a slot.
#[derive(Clone, Copy, Debug)]
struct Part {
    slot: usize,
    from: usize,
    to: usize,
}

/// Continuous batching: before each batch requests enter and leave; tokens of output go first, prompts share the rest.
pub(crate) struct Scheduler<E> {
    evaluator: E,
    limits: Limits,
    inbox: Arc<Inbox>,
    counters: Arc<Counters>,
    slots: Vec<Slot>,
    batch: Batch,
    candidates: Candidates,
    pace: Pace,
    bytes: Vec<u8>,
    ended: u64,
}

impl<E: Evaluator> Scheduler<E> {
    /// A scheduler with empty slots.
    pub(crate) fn new(evaluator: E, limits: Limits, inbox: Arc<Inbox>, counters: Arc<Counters>) -> Self {
        Self {
            slots: (0..limits.slots).map(|_| Slot::default()).collect(),
            batch: Batch::new(limits.batch),
            pace: Pace::new(limits.batch),
            candidates: Candidates::default(),
            bytes: Vec::new(),
            ended: 0,
            evaluator,
            limits,
            inbox,
            counters,
        }
    }

    /// Evaluates until the inbox is closed. Blocks, without using the processor, while there is nothing to do.
    pub(crate) fn run(&mut self) {
        while !self.inbox.is_closed() {
            if !self.step() {
                self.inbox.wait();
            }
        }
        for slot in 0..self.slots.len() {
            self.fail(slot, EngineError::Draining);
        }
        self.publish();
    }

    /// One batch; `false` where there was nothing to evaluate.
    pub(crate) fn step(&mut self) -> bool {
        self.release_abandoned();
        self.admit();
        self.publish();
        let parts = self.plan();
        if !parts.is_empty() {
            self.evaluate(&parts);
        }
        self.publish();
        !parts.is_empty()
    }

    fn publish(&self) {
        let active = self.slots.iter().filter(|slot| slot.generation.is_some()).count();
        let resident: usize = self.slots.iter().map(|slot| slot.resident.len()).sum();
        self.counters.active.store(u32::try_from(active).unwrap_or(u32::MAX), Relaxed);
        self.counters.kv_tokens.store(resident as u64, Relaxed);
    }

    fn release_abandoned(&mut self) {
        let mut cancelled = self.inbox.sweep();
        for slot in 0..self.slots.len() {
            let abandoned = |generation: &Generation| generation.reply.is_abandoned();
            if self.slots[slot].generation.as_ref().is_some_and(abandoned) {
                drop(self.end(slot));
                cancelled += 1;
            }
        }
        self.counters.cancelled.fetch_add(cancelled, Relaxed);
    }

    fn admit(&mut self) {
        while self.slots.iter().any(|slot| slot.generation.is_none()) {
            let mut cancelled = 0;
            let job = self.inbox.pop(&mut cancelled);
            self.counters.cancelled.fetch_add(cancelled, Relaxed);
            match job {
                Some(job) => self.place(job),
                None => break,
            }
        }
    }

    /// Puts a request into the slot that spares it most.
    fn place(&mut self, job: Job) {
        let Job { mut request, reply } = job;
        let candidates: Vec<_> = self
            .slots
            .iter()
            .map(|slot| Candidate {
                resident: &slot.resident,
                free_since: slot.generation.is_none().then_some(slot.used),
            })
            .collect();
        let Some(choice) = choose(&request.prompt, &candidates, self.limits.partial) else {
            reply.fail(EngineError::Overloaded { queue: 0 });
            self.inbox.ended();
            return;
        };
        let cached = self.settle(choice.slot, choice.donor, choice.keep, &request.prompt);
        add(&self.counters.cached_tokens, cached);
        if request.ignore_eos {
            request.sampling.logit_bias.extend(self.limits.ends.iter().map(|&token| (token, f32::NEG_INFINITY)));
        }
        // llama.cpp allocates all of the window, and "all tokens" is 8 GiB of it: a sequence has no more than its context.
        let most = u32::try_from(self.limits.context).unwrap_or(u32::MAX);
        request.sampling.repeat_last_n = request.sampling.repeat_last_n.min(most);
        let seed = request.sampling.seed.unwrap_or_else(rand::random);
        let sampler = Sampler::new(&request.sampling, self.limits.vocabulary, seed);
        let generation = Generation::new(request, reply, sampler, cached, self.limits.context);
        self.slots[choice.slot].generation = Some(generation);
    }

    /// Makes a slot hold the first `keep` tokens of a prompt, as far as the cache can; says how many it holds.
    fn settle(&mut self, slot: usize, donor: Option<usize>, keep: usize, prompt: &[Token]) -> usize {
        let sequence = SeqId::try_from(slot).unwrap_or(SeqId::MAX);
        let length = |tokens: usize| u32::try_from(tokens).unwrap_or(u32::MAX);
        if let Some(donor) = donor {
            self.evaluator.forget(sequence, 0);
            self.evaluator.share(SeqId::try_from(donor).unwrap_or(SeqId::MAX), sequence, length(keep));
        } else if keep < self.slots[slot].resident.len() {
            self.evaluator.forget(sequence, length(keep));
        }
        let resident = &mut self.slots[slot].resident;
        resident.clear();
        if self.evaluator.resident(sequence) == length(keep) {
            resident.extend_from_slice(&prompt[..keep]);
            return keep;
        }
        self.evaluator.forget(sequence, 0);
        0
    }

    /// The next batch: one token of each sequence in mid-output whose client reads, then prompts.
    fn plan(&self) -> Vec<Part> {
        let mut parts = Vec::with_capacity(self.slots.len());
        let mut prompts = Vec::new();
        for (slot, Slot { resident, generation, .. }) in self.slots.iter().enumerate() {
            let Some(generation) = generation.as_ref().filter(|generation| generation.reply.has_room()) else {
                continue;
            };
            let part = Part { slot, from: resident.len(), to: generation.tokens.len() };
            let decodes = part.to - part.from == 1 && parts.len() < self.limits.batch;
            if decodes { parts.push(part) } else { prompts.push(part) }
        }
        let wanted: Vec<usize> = prompts.iter().map(|part| part.to - part.from).collect();
        let shares = deal(self.pace.budget(parts.len()), &wanted);
        let dealt = prompts.into_iter().zip(shares).filter(|(_, share)| *share > 0);
        parts.extend(dealt.map(|(part, share)| Part { to: part.from + share, ..part }));
        parts
    }

    /// Evaluates parts in one batch, or in several where one does not go.
    fn evaluate(&mut self, parts: &[Part]) {
        let begun = Instant::now();
        self.batch.clear();
        let mut outputs = Vec::with_capacity(parts.len());
        for part in parts {
            let slot = &mut self.slots[part.slot];
            let Some(generation) = slot.generation.as_mut().filter(|_| slot.resident.len() == part.from) else {
                continue;
            };
            generation.begun.get_or_insert(begun);
            let mut last = None;
            for position in part.from..part.to {
                let output = position + 1 == generation.tokens.len();
                let place = u32::try_from(position).unwrap_or(u32::MAX);
                let sequence = SeqId::try_from(part.slot).unwrap_or(SeqId::MAX);
                last = self.batch.push(generation.tokens[position], place, sequence, output).filter(|_| output);
            }
            outputs.push((*part, last));
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

    /// After a batch: its tokens are resident, and where a sequence is complete its next token is chosen.
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
                self.choose_next(part.slot, index);
            }
        }
    }

    fn choose_next(&mut self, slot: usize, index: usize) {
        let Some(generation) = &mut self.slots[slot].generation else { return };
        generation.first.get_or_insert_with(Instant::now);
        if generation.most == 0 {
            return self.finish(slot, FinishReason::Length);
        }
        let Some(logits) = self.evaluator.logits(index) else {
            return self.fail(slot, EngineError::Failed { source: "llama.cpp gives no logits".into() });
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
        if self.evaluator.ends(token) && !generation.ignore_eos {
            return self.finish(slot, FinishReason::Stop);
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
    }

    /// Ends a generation that no stop text has ended: what was held back goes out.
    fn finish(&mut self, slot: usize, reason: FinishReason) {
        if let Some(generation) = &mut self.slots[slot].generation {
            let released = generation.output.finish();
            let reason = if released.stopped { FinishReason::Stop } else { reason };
            send(generation, released);
            self.end_with(slot, reason);
        }
    }

    fn end_with(&mut self, slot: usize, reason: FinishReason) {
        if let Some(generation) = self.end(slot) {
            let usage = generation.usage(Instant::now());
            generation.reply.finish(reason, usage);
        }
    }

    fn fail(&mut self, slot: usize, error: EngineError) {
        if let Some(generation) = self.end(slot) {
            generation.reply.fail(error);
        }
    }

    /// Frees a slot. Its KV stays.
    fn end(&mut self, slot: usize) -> Option<Generation> {
        let generation = self.slots[slot].generation.take()?;
        self.ended += 1;
        self.slots[slot].used = self.ended;
        self.publish();
        self.inbox.ended();
        Some(generation)
    }

    /// The cache is full: the KV that was unused for longest goes; where none is left, the batch is halved.
    fn make_room(&mut self, parts: &[Part]) {
        let idle = self.slots.iter().enumerate();
        let idle = idle.filter(|(_, slot)| slot.generation.is_none() && !slot.resident.is_empty());
        if let Some(slot) = idle.min_by_key(|(_, slot)| slot.used).map(|(index, _)| index) {
            self.forget(slot);
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
            let resident = u32::try_from(self.slots[part.slot].resident.len()).unwrap_or(u32::MAX);
            let sequence = SeqId::try_from(part.slot).unwrap_or(SeqId::MAX);
            let whole = self.evaluator.forget(sequence, resident) && self.evaluator.resident(sequence) == resident;
            if parts.len() == 1 || !whole {
                self.forget(part.slot);
                self.fail(part.slot, EngineError::Failed { source: Box::new(error) });
            }
        }
        if parts.len() > 1 {
            parts.iter().for_each(|part| self.evaluate(&[*part]));
        }
    }

    fn forget(&mut self, slot: usize) {
        self.evaluator.forget(SeqId::try_from(slot).unwrap_or(SeqId::MAX), 0);
        self.slots[slot].resident.clear();
    }
}

fn send(generation: &Generation, released: Released) {
    if !released.is_empty() {
        generation.reply.output(released.text, released.logprobs);
    }
}

#[cfg(test)]
mod tests;
