//! Further settings of llama.cpp.

use super::{chat, kitten, load, refused, run};
use clowder_runtime::engine::{DraftFile, EngineOptions};

fn set(options: &mut EngineOptions, extra: &[(&str, &str)]) {
    options.settings.extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
}

#[tokio::test]
async fn settings_reach_llama_cpp() {
    let say = async |extra: &[(&str, &str)]| {
        let engine = load(1, |options| set(options, extra)).unwrap();
        run(&engine, chat(&engine, "What is 2 plus 2?", 16)).await.0
    };
    let plain = say(&[]).await;
    assert_eq!(say(&[("use_mmap", "false"), ("n_threads_batch", "2"), ("flash_attn", "on")]).await, plain);
    // Positions that are not those it was trained with.
    assert_ne!(say(&[("rope_freq_base", "3")]).await, plain);
}

#[tokio::test]
async fn what_is_special_about_a_model_is_not_so_of_its_draft() {
    let engine = load(1, |options| {
        set(options, &[("rope_freq_base", "3")]);
        options.draft = Some(DraftFile::new(kitten()));
    });
    let engine = engine.unwrap();
    let usage = run(&engine, chat(&engine, "What is 2 plus 2?", 40)).await.2;
    assert!(usage.drafted > usage.accepted, "the draft is as it was trained, and so of another mind: {usage:?}");
}

#[test]
fn settings_that_do_not_go_are_told() {
    let told = |name: &str, value: &str| refused(|options| set(options, &[(name, value)]));
    assert!(told("mmap", "true").contains("there is no setting \"mmap\"; there are flash_attn, use_mmap"));
    assert!(told("flash_attn", "maybe").contains("flash_attn takes on, off or auto"));
    assert!(told("tensor_split", &["1"; 64].join(",")).contains("tensor_split has 64 shares, this llama.cpp takes"));
}
