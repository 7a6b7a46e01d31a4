//! The shelf against the suite of all sources, and as a model's reader uses it.

use clowder_core::inspect::inspect;
use clowder_core::source::SourceError;
use clowder_core::testing::{source::conformance, tiny_gguf};
use clowder_core::{ModelSource, ModelUrl};
use example_custom_source::ShelfSource;
use std::fs;
use tempfile::TempDir;

fn url(text: &str) -> ModelUrl {
    text.parse().expect("a URL")
}

/// A folder `shelf` with one model, and a file beside it that is none of the shelf's business.
fn shelf() -> (TempDir, ShelfSource) {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("shelf/llama")).expect("folders");
    fs::write(folder.path().join("shelf/llama/tiny.gguf"), tiny_gguf(7)).expect("a model");
    fs::write(folder.path().join("secret.gguf"), tiny_gguf(8)).expect("a secret");
    let source = ShelfSource::new(folder.path().join("shelf"));
    (folder, source)
}

#[tokio::test]
async fn it_keeps_to_the_traits_word() {
    let (_folder, source) = shelf();
    conformance(&source, &url("shelf:llama/tiny.gguf"), &tiny_gguf(7), Some(&url("shelf:llama/none.gguf"))).await;
    assert!(!source.serves(&url("builtin:kitten")));
    let refused = source.resolve(&url("builtin:kitten"), None).await;
    assert!(matches!(refused, Err(SourceError::Unsupported { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_model_on_it_is_inspected_without_fetching_it() {
    let (_folder, source) = shelf();
    let facts = inspect(&source, &url("shelf:llama/tiny.gguf"), None).await.expect("facts");
    assert_eq!(facts.gguf.architecture, "llama");
    assert_eq!(facts.bytes, tiny_gguf(7).len() as u64);
}

#[tokio::test]
async fn nothing_beside_the_shelf_is_on_it() {
    let (folder, source) = shelf();
    let outside = folder.path().join("secret.gguf");
    #[cfg(unix)]
    std::os::unix::fs::symlink(&outside, folder.path().join("shelf/link.gguf")).expect("a link");
    let absolute = format!("shelf:{}", outside.display());
    for text in ["shelf:../secret.gguf", "shelf:llama/../../secret.gguf", "shelf:link.gguf", &absolute, "shelf:llama"] {
        let refused = source.resolve(&url(text), None).await;
        assert!(matches!(refused, Err(SourceError::NotFound { .. })), "{text}: {refused:?}");
    }
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_resolved_is_told() {
    let (folder, source) = shelf();
    let manifest = source.resolve(&url("shelf:llama/tiny.gguf"), None).await.expect("a manifest");
    fs::write(folder.path().join("shelf/llama/tiny.gguf"), b"another model").expect("written");
    let refused = source.read(manifest.main().expect("a file"), 0..1, None).await.err();
    assert!(matches!(refused, Some(SourceError::Changed { .. })), "{refused:?}");
}
