//! The tokens that one call evaluates.

use super::context::SeqId;
use super::model::to_c_int;
use clowder_core::engine::Token;
use llama_cpp_sys_2 as sys;

/// A batch of bounded size, each token in one sequence.
pub(crate) struct Batch {
    capacity: usize,
    tokens: Vec<sys::llama_token>,
    positions: Vec<sys::llama_pos>,
    counts: Vec<i32>,
    sequences: Vec<sys::llama_seq_id>,
    pointers: Vec<*mut sys::llama_seq_id>,
    outputs: Vec<i8>,
}

// SAFETY: the pointers go into the batch's own memory and are made anew for every call.
unsafe impl Send for Batch {}

impl Batch {
    /// A batch of at most `capacity` tokens.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            tokens: Vec::with_capacity(capacity),
            positions: Vec::with_capacity(capacity),
            counts: Vec::with_capacity(capacity),
            sequences: Vec::with_capacity(capacity),
            pointers: Vec::with_capacity(capacity),
            outputs: Vec::with_capacity(capacity),
        }
    }

    /// Tokens in it.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.counts.clear();
        self.sequences.clear();
        self.outputs.clear();
    }

    /// Adds a token at a position of a sequence, and says where in the batch it is; `None` where the batch is full.
    /// `output` asks for its logits.
    pub(crate) fn push(&mut self, token: Token, position: u32, sequence: SeqId, output: bool) -> Option<usize> {
        let index = self.len();
        if index >= self.capacity {
            return None;
        }
        self.tokens.push(to_c_int(token));
        self.positions.push(to_c_int(position));
        self.counts.push(1);
        self.sequences.push(to_c_int(sequence));
        self.outputs.push(i8::from(output));
        Some(index)
    }

    /// What is in it, for tests: token, position, sequence, output.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> Vec<(Token, u32, SeqId, bool)> {
        (0..self.len())
            .map(|i| {
                let number = |value: i32| u32::try_from(value).unwrap();
                (number(self.tokens[i]), number(self.positions[i]), number(self.sequences[i]), self.outputs[i] != 0)
            })
            .collect()
    }

    /// The largest sequence in it, or -1.
    pub(super) fn last_sequence(&self) -> i32 {
        self.sequences.iter().copied().max().unwrap_or(-1)
    }

    /// Tokens in it whose logits are asked for.
    pub(super) fn outputs(&self) -> usize {
        self.outputs.iter().filter(|output| **output != 0).count()
    }

    /// The largest and smallest token in it are in a vocabulary of so many.
    pub(super) fn tokens_within(&self, vocabulary: u32) -> bool {
        self.tokens.iter().all(|token| (0..to_c_int(vocabulary)).contains(token))
    }

    /// The batch as llama.cpp takes it; valid until the batch is changed or dropped.
    pub(super) fn as_raw(&mut self) -> sys::llama_batch {
        self.pointers.clear();
        self.pointers.extend(self.sequences.iter_mut().map(std::ptr::from_mut));
        sys::llama_batch {
            n_tokens: i32::try_from(self.len()).unwrap_or(0),
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.pointers.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}
