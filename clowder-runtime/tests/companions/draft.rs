//! Speculative decoding: the bundled model guesses for itself, whole or damaged.

use super::lora::Lora;
use super::{chat, kitten, load, refused, run};
use clowder_core::engine::{Engine, GenerateRequest, Sampling};
use clowder_runtime::engine::{AdapterFile, DraftFile, LlamaEngine};
use futures::future;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

/// Bytes of the last tensor of the bundled model: what the last layer's feed-forward part multiplies last, in blocks of a
/// scale and 32 numbers.
const LAST_TENSOR: usize = 768 * 256 / 32 * BLOCK;
const BLOCK: usize = 34;

/// The bundled model without that tensor's numbers: it knows much, but not all, of what the whole one says.
fn damaged() -> NamedTempFile {
    let mut bytes = std::fs::read(kitten()).unwrap();
    let begin = bytes.len() - LAST_TENSOR;
    bytes[begin..].chunks_exact_mut(BLOCK).for_each(|block| block[2..].fill(0));
    written(&bytes)
}

fn written(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".gguf").unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn drafted(slots: u32, path: &Path) -> LlamaEngine {
    load(slots, |options| options.draft = Some(DraftFile::new(path.to_owned()))).unwrap()
}

const QUESTIONS: [&str; 4] = ["What is 2 plus 2?", "Count from one to ten.", "What is a cat?", "Say the alphabet."];

#[tokio::test]
async fn a_model_guesses_its_own_output() {
    let (plain, drafted) = (load(1, |_| ()).unwrap(), drafted(1, &kitten()));
    for question in QUESTIONS {
        let (expected, ..) = run(&plain, chat(&plain, question, 40)).await;
        let (text, _, usage) = run(&drafted, chat(&drafted, question, 40)).await;
        assert_eq!(text, expected);
        assert_eq!(usage.completion, 40);
        // Rounding differs with the batch: at a tie the two may not agree.
        assert!(usage.accepted * 10 >= usage.drafted * 9, "{usage:?}");
    }
    let load = drafted.load();
    assert!(load.accepted_tokens > 20 && load.drafted_tokens >= load.accepted_tokens, "{load:?}");
    assert_eq!(plain.load().drafted_tokens, 0);
}

#[tokio::test]
async fn wrong_guesses_change_nothing() {
    let file = damaged();
    let (plain, drafted) = (load(1, |_| ()).unwrap(), drafted(1, file.path()));
    let sampled = Sampling { temperature: 1.0, seed: Some(7), repeat_penalty: 1.1, ..Sampling::default() };
    let mut rejected = 0;
    for question in QUESTIONS {
        for sampling in [Sampling { temperature: 0.0, ..Sampling::default() }, sampled.clone()] {
            let request = |engine| GenerateRequest { sampling: sampling.clone(), ..chat(engine, question, 40) };
            let (expected, ..) = run(&plain, request(&plain)).await;
            let (text, _, usage) = run(&drafted, request(&drafted)).await;
            assert_eq!(text, expected, "{sampling:?}");
            rejected += usage.drafted - usage.accepted;
        }
    }
    let load = drafted.load();
    assert!(rejected > 0 && load.accepted_tokens > 0, "{load:?}");
}

#[tokio::test]
async fn a_draft_works_with_stop_texts_ends_and_adapters() {
    let lora = Lora::of_kitten(0.2).write();
    let adapters = vec![AdapterFile { name: "a".parse().unwrap(), path: lora.path().to_owned() }];
    let plain = load(1, |options| options.adapters = adapters.clone()).unwrap();
    let drafted = load(1, |options| {
        options.adapters = adapters;
        options.draft = Some(DraftFile::new(kitten()));
    });
    let drafted = drafted.unwrap();
    let changes: [&dyn Fn(&mut GenerateRequest); 3] =
        [&|request| request.ignore_eos = false, &|request| request.stop = vec!["e".to_owned()], &|request| {
            request.adapter = "a".parse().ok();
        }];
    for change in changes {
        let request = |engine| {
            let mut request = chat(engine, "Count from one to ten.", 30);
            change(&mut request);
            request
        };
        let (expected, reason, usage) = run(&plain, request(&plain)).await;
        let (text, ended, drafted) = run(&drafted, request(&drafted)).await;
        assert_eq!((text, ended, drafted.completion), (expected, reason, usage.completion));
    }
}

#[tokio::test]
async fn sequences_at_once_are_guessed_for_together() {
    let file = damaged();
    let engine = drafted(3, file.path());
    let answers = QUESTIONS.map(|question| run(&engine, chat(&engine, question, 30)));
    for (text, _, usage) in future::join_all(answers).await {
        assert!(!text.is_empty() && usage.completion == 30, "{text:?} {usage:?}");
    }
    assert!(engine.load().accepted_tokens > 0);
    // Each turn goes on with what both models have read of the one before.
    let request = chat(&engine, QUESTIONS[0], 8);
    run(&engine, request.clone()).await;
    assert!(run(&engine, request).await.2.cached > 0);
}

#[test]
fn a_draft_model_that_cannot_guess_for_this_one_is_refused_with_why() {
    let of = |path: &Path| refused(|options| options.draft = Some(DraftFile::new(path.to_owned())));
    let whole = std::fs::read(kitten()).unwrap();
    let piece = "<|im_start|>".as_bytes();
    let at = whole.windows(piece.len()).position(|window| window == piece).unwrap();
    let mut other = whole.clone();
    other[at + 2..at + 4].copy_from_slice(b"xx");
    let error = of(written(&other).path());
    assert!(error.contains("the draft model has another vocabulary (token "), "{error}");
    assert!(of(written(&whole[..1000]).path()).contains("cut off"));
    assert!(of(Lora::of_kitten(0.5).write().path()).contains("the GGUF holds a LoRA adapter, not a model"));
}
