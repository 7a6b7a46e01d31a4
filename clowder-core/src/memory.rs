//! How much memory one worker takes, from its model's header and its settings.

use crate::gguf::GgufFacts;
use crate::model::{Draft, EngineSettings, KvType};
use std::sync::Arc;

/// Tokens evaluated in one physical batch; llama.cpp's `n_ubatch`, which sizes its compute buffers.
pub const PHYSICAL_BATCH: u64 = 512;

/// What a process takes before it has a model: code, heap, thread stacks, tokenizer tables. Measured on Linux, rounded up.
const PROCESS: u64 = 64 << 20;

/// A file that a worker loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedFile {
    /// Its header.
    pub header: Arc<GgufFacts>,
    /// Its bytes, all shards, as far as they are known.
    pub bytes: u64,
}

impl LoadedFile {
    fn weights(&self) -> u64 {
        self.bytes.max(self.header.weight_bytes)
    }
}

/// All files that a worker loads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadedFiles {
    /// The model.
    pub model: LoadedFile,
    /// Its adapters.
    pub adapters: Vec<LoadedFile>,
    /// The model that guesses for it.
    pub draft: Option<LoadedFile>,
}

/// The parts of a worker's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryNeed {
    /// The weights, all shards.
    pub weights: u64,
    /// The KV cache of all slots at their full context.
    pub kv_cache: u64,
    /// Buffers of the graph: logits and the widest activations of one physical batch.
    pub compute: u64,
    /// The weights of all adapters: each is in memory, whether it is asked for or not.
    pub adapters: u64,
    /// All that a draft model takes: its weights, KV cache and buffers, and the logits of what it guesses.
    pub draft: u64,
    /// The process itself.
    pub process: u64,
}

impl MemoryNeed {
    /// What a worker that loads these files under these settings takes.
    ///
    /// KV cache: `context · slots · Σ over layers of kv_heads · (key_length + value_length)` in the KV type. Compute:
    /// `PHYSICAL_BATCH · 4 bytes · (vocabulary + 4 · embedding + 2 · feed_forward)`, the peak that llama.cpp's
    /// scheduler reports within a few per cent for dense models with flash attention.
    ///
    /// A draft model is a second one with as many slots of the same context (no more than it was trained for), an f16
    /// cache, and a row of logits for each guess, as far as one batch goes.
    pub fn estimate(files: &LoadedFiles, engine: &EngineSettings) -> Self {
        let header = &files.model.header;
        let context = engine.context(header.context_length);
        Self {
            weights: files.model.weights(),
            kv_cache: kv_cache(header, context, engine.slots(), engine.kv_type),
            compute: compute(header),
            adapters: files.adapters.iter().map(LoadedFile::weights).fold(0, u64::saturating_add),
            draft: files.draft.as_ref().map_or(0, |draft| of_draft(draft, header, context, engine)),
            process: PROCESS,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        let others = [self.kv_cache, self.compute, self.adapters, self.draft, self.process];
        others.into_iter().fold(self.weights, u64::saturating_add)
    }
}

fn kv_cache(header: &GgufFacts, context: u32, slots: u32, kv_type: KvType) -> u64 {
    let tokens = u64::from(context).saturating_mul(u64::from(slots));
    kv_type.bytes(header.kv_elements.saturating_mul(tokens))
}

fn compute(header: &GgufFacts) -> u64 {
    let width = u64::from(header.vocabulary) + 4 * u64::from(header.embedding) + 2 * u64::from(header.feed_forward);
    PHYSICAL_BATCH * 4 * width
}

fn of_draft(draft: &LoadedFile, model: &GgufFacts, context: u32, engine: &EngineSettings) -> u64 {
    let guesses = engine.draft.as_ref().map_or(0, Draft::tokens);
    let rows = (u64::from(guesses) + 1).saturating_mul(u64::from(engine.slots())).min(PHYSICAL_BATCH);
    let context = context.min(draft.header.context_length);
    [
        kv_cache(&draft.header, context, engine.slots(), KvType::default()),
        compute(&draft.header),
        rows * 4 * u64::from(model.vocabulary),
    ]
    .into_iter()
    .fold(draft.weights(), u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Llama 3.1 8B, Q4_K_M.
    fn llama_8b() -> LoadedFiles {
        let header = GgufFacts {
            weight_bytes: 4_912_000_000,
            context_length: 131_072,
            blocks: 32,
            embedding: 4096,
            feed_forward: 14_336,
            kv_elements: 32 * 8 * (128 + 128),
            vocabulary: 128_256,
            ..GgufFacts::default()
        };
        LoadedFiles { model: LoadedFile { header: Arc::new(header), bytes: 0 }, ..LoadedFiles::default() }
    }

    #[test]
    fn companions_take_memory_beside_the_model() {
        let alone = llama_8b();
        let draft = GgufFacts {
            weight_bytes: 800_000_000,
            context_length: 2048,
            embedding: 2048,
            feed_forward: 8192,
            kv_elements: 16 * 8 * (64 + 64),
            vocabulary: 128_256,
            ..GgufFacts::default()
        };
        let adapter = LoadedFile { bytes: 40_000_000, ..LoadedFile::default() };
        let files = LoadedFiles {
            adapters: vec![adapter.clone(), adapter],
            draft: Some(LoadedFile { header: Arc::new(draft), bytes: 0 }),
            ..alone.clone()
        };
        let mut engine = EngineSettings { context: Some(8192), slots: Some(2), ..EngineSettings::default() };
        engine.draft = Some(Draft { tokens: Some(4), ..Draft::new("builtin:kitten".parse().unwrap()) });
        let (need, before) = (MemoryNeed::estimate(&files, &engine), MemoryNeed::estimate(&alone, &engine));
        assert_eq!(need.adapters, 80_000_000);
        let cache = 2 * 2048 * 16 * 8 * 128 * 2;
        let compute = 512 * 4 * (128_256 + 4 * 2048 + 2 * 8192);
        let logits = 2 * 5 * 4 * 128_256;
        assert_eq!(need.draft, 800_000_000 + cache + compute + logits);
        assert_eq!(need.total() - before.total(), need.adapters + need.draft);
    }

    #[test]
    fn kv_cache_is_the_known_128_kib_a_token() {
        let engine = EngineSettings { context: Some(8192), slots: Some(1), ..EngineSettings::default() };
        let need = MemoryNeed::estimate(&llama_8b(), &engine);
        assert_eq!(need.kv_cache, 8192 * 128 * 1024);
        let halved = EngineSettings { kv_type: KvType::Q8_0, ..engine };
        assert_eq!(MemoryNeed::estimate(&llama_8b(), &halved).kv_cache, 8192 * 128 * 1024 / 64 * 34);
    }

    #[test]
    fn absurd_settings_saturate() {
        let engine = EngineSettings { context: Some(u32::MAX), slots: Some(u32::MAX), ..EngineSettings::default() };
        assert_eq!(MemoryNeed::estimate(&llama_8b(), &engine).total(), u64::MAX);
    }
}
