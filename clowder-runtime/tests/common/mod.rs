//! The bundled model, loaded.

use clowder_core::model::EngineSettings;
use clowder_runtime::engine::{EngineOptions, LlamaEngine};
use std::path::PathBuf;
use std::sync::Arc;

/// The bundled model's file.
pub(crate) fn kitten() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/kitten/kitten.gguf")
}

/// It, in so many slots of 512 tokens.
pub(crate) fn engine(slots: u32) -> Arc<LlamaEngine> {
    engine_of(slots, 512)
}

/// It, in so many slots of so many tokens.
pub(crate) fn engine_of(slots: u32, context: u32) -> Arc<LlamaEngine> {
    let settings =
        EngineSettings { slots: Some(slots), context: Some(context), threads: Some(1), ..EngineSettings::default() };
    let options = EngineOptions { settings, ..EngineOptions::default() };
    Arc::new(LlamaEngine::load(&kitten(), &options).expect("kitten loads"))
}
