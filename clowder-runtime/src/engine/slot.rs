//! A slot: a sequence of the KV cache, and the generation in it.

use super::draft::DraftLength;
use super::output::OutputText;
use super::reply::Reply;
use crate::llama::Sampler;
use clowder_core::engine::{GenerateRequest, Token, Usage};
use std::time::Instant;

/// A sequence of the KV cache. Its KV stays after a generation, for the next that begins alike.
#[derive(Default)]
pub(crate) struct Slot {
    /// Tokens whose KV is in the cache.
    pub(crate) resident: Vec<Token>,
    /// The adapter that they were evaluated with.
    pub(crate) adapter: Option<usize>,
    /// When its last generation ended, by the scheduler's count.
    pub(crate) used: u64,
    /// What is generated in it.
    pub(crate) generation: Option<Generation>,
}

/// One generation in its slot.
pub(crate) struct Generation {
    /// Prompt and output; what of it is beyond the slot's residents is to be evaluated.
    pub(crate) tokens: Vec<Token>,
    /// Tokens of `tokens` that are prompt.
    pub(crate) prompt: usize,
    /// Tokens of the prompt that were resident.
    pub(crate) cached: usize,
    /// What may come after `tokens`, by the draft model, to be evaluated with them.
    pub(crate) guesses: Vec<Token>,
    /// How many are guessed at once.
    pub(crate) length: DraftLength,
    /// Guesses evaluated so far, and those of them that were right.
    pub(crate) drafted: usize,
    pub(crate) accepted: usize,
    /// The most tokens of output.
    pub(crate) most: usize,
    /// How tokens are chosen.
    pub(crate) sampler: Sampler,
    /// The tokens' text.
    pub(crate) output: OutputText,
    /// Alternatives to report.
    pub(crate) logprobs: Option<u32>,
    /// Whether the end of the turn is no end.
    pub(crate) ignore_eos: bool,
    /// The client.
    pub(crate) reply: Reply,
    /// When the prompt's first batch began, and when the first token was chosen.
    pub(crate) begun: Option<Instant>,
    pub(crate) first: Option<Instant>,
}

impl Generation {
    /// A generation whose first `cached` prompt tokens are resident, with room for `context` tokens.
    pub(crate) fn new(request: GenerateRequest, reply: Reply, sampler: Sampler, cached: usize, context: usize) -> Self {
        let prompt = request.prompt.len();
        let room = context.saturating_sub(prompt);
        let mut sampler = sampler;
        let seen = prompt.saturating_sub(request.sampling.repeat_last_n as usize);
        request.prompt[seen..].iter().for_each(|&token| sampler.remember(token));
        Self {
            tokens: request.prompt,
            prompt,
            cached,
            guesses: Vec::new(),
            length: DraftLength::new(),
            drafted: 0,
            accepted: 0,
            most: request.max_tokens.map_or(room, |most| room.min(most as usize)),
            sampler,
            output: OutputText::new(request.stop),
            logprobs: request.logprobs,
            ignore_eos: request.ignore_eos,
            reply,
            begun: None,
            first: None,
        }
    }

    /// Tokens of output so far.
    pub(crate) fn completion(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// What it has taken, at a moment.
    pub(crate) fn usage(&self, now: Instant) -> Usage {
        let milliseconds = |from: Option<Instant>, to: Instant| {
            from.map_or(0.0, |from| to.saturating_duration_since(from).as_secs_f64() * 1000.0)
        };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Usage {
            prompt: count(self.prompt),
            cached: count(self.cached),
            completion: count(self.completion()),
            drafted: count(self.drafted),
            accepted: count(self.accepted),
            prefill_ms: milliseconds(self.begun, self.first.unwrap_or(now)),
            decode_ms: milliseconds(self.first, now),
        }
    }
}
