//! The engine with the bundled model.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use clowder_core::engine::{Engine, EngineError, FinishReason, GenerateEvent, GenerateRequest, Sampling, Usage};
use clowder_runtime::engine::{EngineOptions, LlamaEngine, LoadError};
use common::{engine, kitten};
use futures::{StreamExt, future};
use std::io::Write;

fn request(engine: &LlamaEngine, prompt: &str, most: u32) -> GenerateRequest {
    GenerateRequest {
        prompt: engine.tokenize(prompt, true).unwrap(),
        adapter: None,
        max_tokens: Some(most),
        sampling: Sampling { temperature: 0.0, ..Sampling::default() },
        stop: Vec::new(),
        logprobs: None,
        ignore_eos: true,
    }
}

async fn run(engine: &LlamaEngine, request: GenerateRequest) -> (String, FinishReason, Usage) {
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

#[tokio::test]
async fn conforms() {
    clowder_core::testing::engine::conformance(engine(2)).await;
}

#[tokio::test]
async fn many_sequences_at_once_say_what_each_says_alone() {
    let alone = engine(1);
    let together = engine(4);
    let prompts = ["Hello", "What is a cat?", "1 2 3 4", "one two three four five six seven"];
    let mut expected = Vec::new();
    for prompt in prompts {
        expected.push(run(&alone, request(&alone, prompt, 12)).await.0);
    }
    let answers = future::join_all(prompts.map(|prompt| run(&together, request(&together, prompt, 12)))).await;
    for (answer, expected) in answers.iter().zip(&expected) {
        // Rounding differs with the batch, so that later tokens may; the first ones are far from a tie.
        assert_eq!(answer.0.chars().next(), expected.chars().next());
        assert_eq!(answer.2.completion, 12);
    }
}

#[tokio::test]
async fn the_next_turn_reuses_the_first() {
    let engine = engine(2);
    let first = "<|im_start|>user\nTell me about the sea and the ships on it.<|im_end|>\n<|im_start|>assistant\n";
    let (text, _, usage) = run(&engine, request(&engine, first, 6)).await;
    assert_eq!(usage.cached, 0);
    let second = format!("{first}{text}<|im_end|>\n<|im_start|>user\nMore.<|im_end|>\n<|im_start|>assistant\n");
    let (_, _, again) = run(&engine, request(&engine, &second, 2)).await;
    assert!(again.cached >= usage.prompt, "{again:?} after {usage:?}");
    assert!(again.cached < again.prompt);
    assert_eq!(engine.load().cached_tokens, u64::from(again.cached));
}

#[tokio::test]
async fn reused_kv_gives_the_same_answer_as_fresh() {
    let engine = engine(2);
    let prompt = "<|im_start|>user\nCount from one to ten, please.<|im_end|>\n<|im_start|>assistant\n";
    let fresh = run(&engine, request(&engine, prompt, 8)).await;
    let reused = run(&engine, request(&engine, prompt, 8)).await;
    assert_eq!(reused.2.cached, reused.2.prompt - 1);
    assert_eq!(fresh.0.chars().next(), reused.0.chars().next());
}

#[tokio::test]
async fn a_dropped_stream_frees_its_slot() {
    let engine = engine(1);
    let mut left = engine.generate(request(&engine, "Hello", 400)).await.unwrap();
    left.next().await.unwrap();
    drop(left);
    let (_, _, usage) = run(&engine, request(&engine, "Hi", 2)).await;
    assert_eq!(usage.completion, 2);
    assert_eq!(engine.load().cancelled, 1);
}

#[tokio::test]
async fn probabilities_come_with_the_text() {
    let engine = engine(1);
    let asked = GenerateRequest { logprobs: Some(3), ..request(&engine, "Hello", 4) };
    let mut events = engine.generate(asked).await.unwrap();
    let mut reported = Vec::new();
    while let Some(event) = events.next().await {
        if let GenerateEvent::Output { logprobs, .. } = event {
            reported.extend(logprobs);
        }
    }
    assert_eq!(reported.len(), 4);
    for token in reported {
        assert_eq!(token.top.len(), 3);
        // Greedy takes the likeliest that does not end the output.
        assert!(token.logprob <= token.top[0].1 && token.top[0].1 <= 0.0, "{token:?}");
    }
}

#[tokio::test]
async fn a_token_outside_the_vocabulary_is_rejected() {
    let engine = engine(1);
    let wrong = GenerateRequest { prompt: vec![u32::MAX], ..request(&engine, "x", 1) };
    assert!(matches!(engine.generate(wrong).await.err(), Some(EngineError::Rejected { .. })));
}

#[tokio::test]
async fn dropping_the_engine_ends_what_runs() {
    let engine = engine(1);
    let mut events = engine.generate(request(&engine, "Hello", 400)).await.unwrap();
    events.next().await.unwrap();
    drop(engine);
    let last =
        events.by_ref().filter(|event| future::ready(!matches!(event, GenerateEvent::Output { .. }))).next().await;
    assert!(matches!(last, Some(GenerateEvent::Failed(EngineError::Draining))), "{last:?}");
}

#[test]
fn files_that_are_no_model_of_ours_are_refused_with_the_reason() {
    let whole = std::fs::read(kitten()).unwrap();
    let load = |bytes: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        match LlamaEngine::load(file.path(), &EngineOptions::default()) {
            Err(error @ LoadError::Unloadable { .. }) => error.to_string(),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it loaded"),
        }
    };
    assert!(load(&whole[..whole.len() / 2]).contains("cut off"));
    assert!(load(&whole[..1000]).contains("cut off"));
    assert!(load(b"not a model").contains("no GGUF"));
    // A header that passes, without what llama.cpp needs.
    assert!(load(&clowder_core::testing::tiny_gguf(1)).contains("the model cannot be loaded"));
    let key = b"general.architecture";
    let at = whole.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 4 + 8;
    let mut unknown = whole;
    assert_eq!(&unknown[at..at + 5], b"llama");
    unknown[at..at + 5].copy_from_slice(b"lynxx");
    for start in 0..unknown.len().min(100_000) {
        if unknown[start..].starts_with(b"llama.") {
            unknown[start..start + 5].copy_from_slice(b"lynxx");
        }
    }
    let error = load(&unknown);
    assert!(error.contains("unknown model architecture: 'lynxx'"), "{error}");
}
