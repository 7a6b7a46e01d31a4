//! What the scheduler needs of a model in memory; llama.cpp in life, a script in tests.

use crate::llama::{Batch, Context, DecodeError, Model, SeqId};
use clowder_core::engine::Token;
use std::sync::Arc;

/// Evaluates batches and keeps the KV of sequences.
pub(crate) trait Evaluator {
    /// Evaluates, from now on, with the so-manieth adapter, or with none.
    fn select(&mut self, adapter: Option<usize>);

    /// Evaluates a batch.
    fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError>;

    /// The logits of the `index`th token of the last batch, where asked for.
    fn logits(&self, index: usize) -> Option<&[f32]>;

    /// Forgets a sequence from a position on; `false` where it cannot be cut there.
    fn forget(&mut self, sequence: SeqId, from: u32) -> bool;

    /// Lets the empty sequence `to` share the first `until` tokens of `from`.
    fn share(&mut self, from: SeqId, to: SeqId, until: u32);

    /// Tokens of a sequence in the KV cache.
    fn resident(&self, sequence: SeqId) -> u32;

    /// Appends a token's bytes; control tokens have none.
    fn piece(&self, token: Token, bytes: &mut Vec<u8>);

    /// Whether a token ends the output.
    fn ends(&self, token: Token) -> bool;
}

/// A model of llama.cpp with its context.
pub(crate) struct LlamaEvaluator {
    pub(crate) model: Arc<Model>,
    pub(crate) context: Context,
}

impl Evaluator for LlamaEvaluator {
    fn select(&mut self, adapter: Option<usize>) {
        self.context.select(adapter);
    }

    fn decode(&mut self, batch: &mut Batch) -> Result<(), DecodeError> {
        self.context.decode(batch)
    }

    fn logits(&self, index: usize) -> Option<&[f32]> {
        self.context.logits(index)
    }

    fn forget(&mut self, sequence: SeqId, from: u32) -> bool {
        self.context.forget(sequence, from)
    }

    fn share(&mut self, from: SeqId, to: SeqId, until: u32) {
        self.context.share(from, to, until);
    }

    fn resident(&self, sequence: SeqId) -> u32 {
        self.context.resident(sequence)
    }

    fn piece(&self, token: Token, bytes: &mut Vec<u8>) {
        self.model.piece(token, false, bytes);
    }

    fn ends(&self, token: Token) -> bool {
        self.model.ends(token)
    }
}
