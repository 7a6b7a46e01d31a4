//! How an engine is loaded.

use clowder_core::ModelName;
use clowder_core::model::{Draft, EngineSettings};
use std::path::PathBuf;

/// How an engine is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Context, slots, KV type, threads, accelerator layers and further settings. Of its draft model nothing is read here:
    /// where that was fetched to is `draft`.
    pub settings: EngineSettings,
    /// The adapters that requests may ask for.
    pub adapters: Vec<AdapterFile>,
    /// The model that guesses ahead.
    pub draft: Option<DraftFile>,
    /// Requests that may wait for a slot; one more is [`EngineError::Overloaded`](clowder_core::engine::EngineError).
    pub queue: u32,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { settings: EngineSettings::default(), adapters: Vec::new(), draft: None, queue: 64 }
    }
}

/// A LoRA adapter that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterFile {
    /// What requests ask for.
    pub name: ModelName,
    /// Its GGUF file.
    pub path: PathBuf,
}

/// A draft model that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftFile {
    /// Its GGUF file; the first of several where it is split.
    pub path: PathBuf,
    /// The most tokens guessed at once.
    pub tokens: u32,
}

impl DraftFile {
    /// Guesses of the model in a file, as many at once as [`Draft::DEFAULT_TOKENS`].
    pub fn new(path: PathBuf) -> Self {
        Self { path, tokens: Draft::DEFAULT_TOKENS }
    }
}
