//! The engine with what is loaded beside a model: adapters, and a draft model.

#![expect(clippy::unwrap_used, reason = "tests")]

mod adapters;
mod draft;
mod lora;
mod settings;

use clowder_core::engine::{Engine, FinishReason, GenerateEvent, GenerateRequest, Sampling, Usage};
use clowder_core::model::EngineSettings;
use clowder_runtime::engine::{EngineOptions, LlamaEngine, LoadError};
use futures::StreamExt;
use std::path::PathBuf;

/// The bundled model's file.
fn kitten() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../models/kitten/kitten.gguf")
}

/// It, in so many slots, with what `change` adds.
fn load(slots: u32, change: impl FnOnce(&mut EngineOptions)) -> Result<LlamaEngine, LoadError> {
    let settings =
        EngineSettings { slots: Some(slots), context: Some(512), threads: Some(1), ..EngineSettings::default() };
    let mut options = EngineOptions { settings, ..EngineOptions::default() };
    change(&mut options);
    LlamaEngine::load(&kitten(), &options)
}

/// What cannot be loaded is refused for good, in these words.
fn refused(change: impl FnOnce(&mut EngineOptions)) -> String {
    match load(1, change) {
        Err(error @ LoadError::Unloadable { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it loaded"),
    }
}

/// A greedy request of a chat.
fn chat(engine: &dyn Engine, question: &str, most: u32) -> GenerateRequest {
    let prompt = format!("<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n");
    GenerateRequest {
        prompt: engine.tokenize(&prompt, true).unwrap(),
        adapter: None,
        max_tokens: Some(most),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        stop: Vec::new(),
        logprobs: None,
        ignore_eos: true,
    }
}

async fn run(engine: &dyn Engine, request: GenerateRequest) -> (String, FinishReason, Usage) {
    let mut events = engine.generate(request).await.unwrap();
    let mut output = String::new();
    loop {
        match events.next().await.expect("a terminal event") {
            GenerateEvent::Output { text, .. } => output.push_str(&text),
            GenerateEvent::Finished { reason, usage } => return (output, reason, usage),
            GenerateEvent::Failed(error) => panic!("{error}"),
        }
    }
}
