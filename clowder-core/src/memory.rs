//! How much memory one worker takes, from its model's header and its settings.

use crate::gguf::GgufFacts;
use crate::model::EngineSettings;

/// Tokens evaluated in one physical batch; llama.cpp's `n_ubatch`, which sizes its compute buffers.
pub const PHYSICAL_BATCH: u64 = 512;

/// What a process takes before it has a model: code, heap, thread stacks, tokenizer tables. Measured on Linux, rounded up.
const PROCESS: u64 = 64 << 20;

/// The parts of a worker's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The weights, all shards.
    pub weights: u64,
    /// The KV cache of all slots at their full context.
    pub kv_cache: u64,
    /// Buffers of the graph: logits and the widest activations of one physical batch.
    pub compute: u64,
    /// The process itself.
    pub process: u64,
}

impl MemoryNeed {
    /// What a worker of this model under these settings takes.
    ///
    /// KV cache: `context · slots · Σ over layers of kv_heads · (key_length + value_length)` in the KV type. Compute:
    /// `PHYSICAL_BATCH · 4 bytes · (vocabulary + 4 · embedding + 2 · feed_forward)`, the peak that llama.cpp's
    /// scheduler reports within a few per cent for dense models with flash attention.
    pub fn estimate(facts: &GgufFacts, model_bytes: u64, engine: &EngineSettings) -> Self {
        let tokens = u64::from(engine.context(facts.context_length)).saturating_mul(u64::from(engine.slots()));
        let width = u64::from(facts.vocabulary) + 4 * u64::from(facts.embedding) + 2 * u64::from(facts.feed_forward);
        Self {
            weights: model_bytes.max(facts.weight_bytes),
            kv_cache: engine.kv_type.bytes(facts.kv_elements.saturating_mul(tokens)),
            compute: PHYSICAL_BATCH * 4 * width,
            process: PROCESS,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        [self.kv_cache, self.compute, self.process].into_iter().fold(self.weights, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KvType;

    /// Llama 3.1 8B, Q4_K_M.
    fn llama_8b() -> GgufFacts {
        GgufFacts {
            weight_bytes: 4_912_000_000,
            context_length: 131_072,
            blocks: 32,
            embedding: 4096,
            feed_forward: 14_336,
            kv_elements: 32 * 8 * (128 + 128),
            vocabulary: 128_256,
            ..GgufFacts::default()
        }
    }

    #[test]
    fn kv_cache_is_the_known_128_kib_a_token() {
        let engine = EngineSettings { context: Some(8192), slots: Some(1), ..EngineSettings::default() };
        let need = MemoryNeed::estimate(&llama_8b(), 0, &engine);
        assert_eq!(need.kv_cache, 8192 * 128 * 1024);
        let halved = EngineSettings { kv_type: KvType::Q8_0, ..engine };
        assert_eq!(MemoryNeed::estimate(&llama_8b(), 0, &halved).kv_cache, 8192 * 128 * 1024 / 64 * 34);
    }

    #[test]
    fn absurd_settings_saturate() {
        let engine = EngineSettings { context: Some(u32::MAX), slots: Some(u32::MAX), ..EngineSettings::default() };
        assert_eq!(MemoryNeed::estimate(&llama_8b(), 0, &engine).total(), u64::MAX);
    }
}
