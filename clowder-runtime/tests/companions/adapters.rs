//! LoRA adapters.

use super::lora::Lora;
use super::{chat, kitten, load, refused, run};
use clowder_core::engine::{Engine, GenerateRequest};
use clowder_runtime::engine::{AdapterFile, EngineOptions};
use futures::future;
use std::path::Path;

fn adapter(name: &str, path: &Path) -> AdapterFile {
    AdapterFile { name: name.parse().unwrap(), path: path.to_owned() }
}

fn with(name: Option<&str>, request: GenerateRequest) -> GenerateRequest {
    GenerateRequest { adapter: name.map(|name| name.parse().unwrap()), ..request }
}

#[tokio::test]
async fn an_adapter_changes_the_output_and_one_of_zeros_does_not() {
    let (strong, zero) = (Lora::of_kitten(0.5).write(), Lora::of_kitten(0.0).write());
    let engine = load(1, |options| {
        options.adapters = vec![adapter("strong", strong.path()), adapter("zero", zero.path())];
    });
    let engine = engine.unwrap();
    assert_eq!(engine.info().adapters.len(), 2);
    let say = async |name| run(&engine, with(name, chat(&engine, "What is 2 plus 2?", 16))).await;
    let (plain, _, _) = say(None).await;
    let (zeros, _, usage) = say(Some("zero")).await;
    assert_eq!((zeros.as_str(), usage.cached), (plain.as_str(), 0));
    let (changed, _, usage) = say(Some("strong")).await;
    assert_ne!(changed, plain);
    assert_eq!(usage.cached, 0, "the KV of another adapter is not its own");
    assert_eq!(say(Some("strong")).await.0, changed);
    assert_eq!(say(None).await.0, plain, "it is gone again");
}

#[tokio::test]
async fn requests_for_different_adapters_do_not_touch_each_other() {
    let files = [0.2, 0.5].map(|strength| Lora::of_kitten(strength).write());
    let options = |options: &mut EngineOptions| {
        options.adapters = vec![adapter("a", files[0].path()), adapter("b", files[1].path())];
    };
    let (alone, together) = (load(1, options).unwrap(), load(4, options).unwrap());
    let names = [None, Some("a"), Some("b")];
    let mut expected = Vec::new();
    for name in names {
        expected.push(run(&alone, with(name, chat(&alone, "What is 2 plus 2?", 12))).await.0);
    }
    let answers = names.map(|name| run(&together, with(name, chat(&together, "What is 2 plus 2?", 12))));
    let answers: Vec<String> = future::join_all(answers).await.into_iter().map(|answer| answer.0).collect();
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn an_adapter_that_there_is_not_is_rejected() {
    let engine = load(1, |_| ()).unwrap();
    let error = engine.generate(with(Some("pirate"), chat(&engine, "Hi", 1))).await.err().unwrap();
    assert_eq!(error.to_string(), "this worker has no adapter 'pirate'");
}

#[test]
fn an_adapter_that_does_not_fit_the_model_is_refused_with_why() {
    let of = |path: &Path| refused(|options| options.adapters = vec![adapter("pirate", path)]);
    let check = |path: &Path, said: &str| {
        let error = of(path);
        assert!(error.contains(path.to_str().unwrap()) && error.contains(said), "{error}");
        assert!(!error.contains('\n'), "{error}");
    };
    let wide = Lora { width: 128, ..Lora::of_kitten(0.5) }.write();
    check(wide.path(), "tensor 'blk.0.attn_q.weight' has incorrect shape");
    let other = Lora { architecture: "qwen2", ..Lora::of_kitten(0.5) }.write();
    check(other.path(), "the adapter was made for a qwen2 model, this is a llama one");
    check(&kitten(), "the GGUF holds a model, not a LoRA adapter");
    let whole = Lora::of_kitten(0.5).write();
    let length = whole.as_file().metadata().unwrap().len();
    whole.as_file().set_len(length - 1).unwrap();
    check(whole.path(), "cut off");
}
