//! The numbers that the engine's thread publishes.

use clowder_core::engine::EngineLoad;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Written by the engine's thread, read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) active: AtomicU32,
    pub(crate) kv_tokens: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) cached_tokens: AtomicU64,
    pub(crate) completion_tokens: AtomicU64,
    pub(crate) drafted_tokens: AtomicU64,
    pub(crate) accepted_tokens: AtomicU64,
    pub(crate) cancelled: AtomicU64,
}

impl Counters {
    /// The numbers as they are now.
    pub(crate) fn load(&self, queued: u32, kv_capacity: u64) -> EngineLoad {
        EngineLoad {
            queued,
            active: self.active.load(Relaxed),
            kv_tokens: self.kv_tokens.load(Relaxed),
            kv_capacity,
            prompt_tokens: self.prompt_tokens.load(Relaxed),
            cached_tokens: self.cached_tokens.load(Relaxed),
            completion_tokens: self.completion_tokens.load(Relaxed),
            drafted_tokens: self.drafted_tokens.load(Relaxed),
            accepted_tokens: self.accepted_tokens.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
        }
    }
}

/// Adds to a counter.
pub(crate) fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Relaxed);
}
