//! The engine's thread: which tokens go into the next batch, and what comes of them.

use super::counters::{Counters, add};
use super::draft::Drafter;
use super::evaluator::Evaluator;
use super::inbox::{Inbox, Job};
use super::output::Released;
use super::pace::{Pace, deal};
use super::prefix::{Candidate, choose};
use super::slot::{Generation, Slot};
use crate::llama::{Batch, Candidates, Sampler, SeqId};
use clowder_core::engine::{EngineError, FinishReason, Token};
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

mod evaluate;
mod guess;

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

/// Tokens `from..to` of the generation in a slot, and its guesses where `to` is all of it.
#[derive(Clone, Copy, Debug)]
struct Part {
    slot: usize,
    from: usize,
    to: usize,
}

/// Continuous batching: before each batch requests enter and leave; tokens of output go first, prompts share the rest.
/// Sequences with different adapters are evaluated in one step, but in batches of their own.
pub(crate) struct Scheduler<E> {
    evaluator: E,
    drafter: Option<Drafter<E>>,
    /// The adapter that was evaluated with last.
    adapter: Option<usize>,
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
    pub(crate) fn new(
        evaluator: E,
        drafter: Option<Drafter<E>>,
        limits: Limits,
        inbox: Arc<Inbox>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            adapter: None,
            drafter,
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

    /// One batch, of each adapter in use; `false` where there was nothing to evaluate.
    pub(crate) fn step(&mut self) -> bool {
        self.release_abandoned();
        self.admit();
        self.publish();
        let (begun, tokens) = (Instant::now(), self.counters.completion_tokens.load(Relaxed));
        self.guess();
        let mut parts = self.plan();
        // A change of adapters costs: the present one goes on first.
        let adapter = |part: &Part| self.slots[part.slot].adapter;
        parts.sort_by_key(|part| (Reverse(adapter(part) == self.adapter), adapter(part)));
        let slots: Vec<Option<usize>> = self.slots.iter().map(|slot| slot.adapter).collect();
        for batch in parts.chunk_by(|a, b| slots[a.slot] == slots[b.slot]) {
            self.evaluate(batch);
        }
        self.judge(begun, &parts, tokens);
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
        let Job { mut request, adapter, reply } = job;
        let candidates: Vec<_> = self
            .slots
            .iter()
            .map(|slot| Candidate {
                resident: &slot.resident,
                fits: slot.adapter == adapter,
                free_since: slot.generation.is_none().then_some(slot.used),
            })
            .collect();
        let Some(choice) = choose(&request.prompt, &candidates, self.limits.partial) else {
            reply.fail(EngineError::Overloaded { queue: 0 });
            self.inbox.ended();
            return;
        };
        let cached = self.settle(choice.slot, choice.donor, choice.keep, &request.prompt);
        self.slots[choice.slot].adapter = adapter;
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

    /// The next batch: one token of each sequence in mid-output whose client reads, with what is guessed after it, then
    /// prompts.
    fn plan(&self) -> Vec<Part> {
        let mut parts = Vec::with_capacity(self.slots.len());
        let mut rows = 0;
        let mut prompts = Vec::new();
        for (slot, Slot { resident, generation, .. }) in self.slots.iter().enumerate() {
            let Some(generation) = generation.as_ref().filter(|generation| generation.reply.has_room()) else {
                continue;
            };
            let part = Part { slot, from: resident.len(), to: generation.tokens.len() };
            let needs = 1 + generation.guesses.len();
            if part.to - part.from == 1 && rows + needs <= self.limits.batch {
                rows += needs;
                parts.push(part);
            } else {
                prompts.push(part);
            }
        }
        let wanted: Vec<usize> = prompts.iter().map(|part| part.to - part.from).collect();
        let shares = deal(self.pace.budget(rows), &wanted);
        let dealt = prompts.into_iter().zip(shares).filter(|(_, share)| *share > 0);
        parts.extend(dealt.map(|(part, share)| Part { to: part.from + share, ..part }));
        parts
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
