//! The cache: resuming, sharing, verifying, and keeping what is used.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::secret::{Credentials, Secret};
use clowder_core::source::{Manifest, SourceError, SourceFile};
use clowder_core::store::{FetchProgress, FetchRequest, StoreError};
use clowder_core::testing::store::conformance;
use clowder_core::testing::{InMemorySource, tiny_gguf};
use clowder_core::{BoxStream, ModelSource, ModelStore, ModelUrl, NodeName};
use clowder_storage::sources::{BuiltinSource, FileSource, HttpSource, HubConfig, HuggingFaceSource, WebConfig};
use clowder_storage::{Cache, CacheConfig, Sources};
use futures::{StreamExt, stream};
use std::ops::Range;
use std::path::Path;
use support::{Fault, Server, cache, digest, noise, pull, pull_until, retries};
use tempfile::tempdir;
use tokio::sync::watch;

const BIG: usize = 3 << 20;

fn http() -> HttpSource {
    HttpSource::new(&WebConfig::default()).unwrap()
}

fn blobs(folder: &Path) -> usize {
    // The empty configuration of the layout is always there.
    std::fs::read_dir(folder.join("blobs/sha256")).unwrap().count() - 1
}

fn first_byte(range: &Option<String>) -> usize {
    range.as_ref().unwrap().strip_prefix("bytes=").unwrap().split('-').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn conforms_with_each_source() {
    let (folder, node) = (tempdir().unwrap(), NodeName::from("here"));
    let memory: ModelUrl = "builtin:m".parse().unwrap();
    let store = cache(&folder.path().join("1"), InMemorySource::new([(memory.clone(), tiny_gguf(1))])).await;
    // The in-memory source serves all that it has: what it has not is asked of it all the same.
    conformance(&store, &node, &memory, &"builtin:none".parse().unwrap()).await;

    let server = Server::start().await;
    let url = server.file("/m.gguf", tiny_gguf(2));
    let store = cache(&folder.path().join("2"), http()).await;
    conformance(&store, &node, &url, &server.url("/absent.gguf")).await;

    let path = folder.path().join("m.gguf");
    std::fs::write(&path, tiny_gguf(3)).unwrap();
    let store = cache(&folder.path().join("3"), FileSource).await;
    let url = ModelUrl::File(path.display().to_string());
    conformance(&store, &node, &url, &"file:///no/such.gguf".parse().unwrap()).await;
    assert!(path.exists(), "what is used in place is not deleted");
}

#[tokio::test]
async fn a_fetch_that_was_cut_off_goes_on_where_it_ended_even_in_a_new_process() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(BIG));
    server.fault(Fault::Stall(2 << 20));
    pull_until(&cache(folder.path(), http()).await, &url, 2 << 20).await;
    let listed = cache(folder.path(), http()).await.find(&url).await.unwrap().unwrap();
    assert!(!listed.complete && listed.bytes > 0 && listed.total == Some(BIG as u64), "{listed:?}");
    assert_eq!(blobs(folder.path()), 0, "nothing has a name yet");

    let again = cache(folder.path(), http()).await;
    let stored = pull(&again, &url).await.unwrap();
    assert_eq!(std::fs::read(&stored.path).unwrap(), noise(BIG));
    let reads = server.reads("/m.bin");
    assert_eq!(reads.len(), 2);
    let resumed_at = first_byte(&reads[1]);
    assert!(resumed_at >= 1 << 20, "{reads:?}");
    assert_eq!(again.activity().received as usize, BIG - resumed_at, "no byte was asked for twice");
}

#[tokio::test]
async fn another_version_begins_anew() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", vec![1; BIG]);
    server.fault(Fault::Stall(2 << 20));
    pull_until(&cache(folder.path(), http()).await, &url, 2 << 20).await;
    server.file("/m.bin", noise(BIG));
    let stored = pull(&cache(folder.path(), http()).await, &url).await.unwrap();
    assert_eq!(stored.digest, digest(&noise(BIG)));
    assert_eq!(first_byte(&server.reads("/m.bin")[1]), 0);
}

#[tokio::test]
async fn what_bears_no_mark_is_not_pieced_together() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.unmarked_file("/m.bin", noise(BIG));
    server.fault(Fault::Cut(2 << 20));
    let stored = pull(&cache(folder.path(), http()).await, &url).await.unwrap();
    assert_eq!(stored.digest, digest(&noise(BIG)));
    assert_eq!(server.reads("/m.bin").iter().map(first_byte).collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_goes_on() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(BIG));
    for fault in [Fault::Status(503), Fault::Cut(1 << 20), Fault::RetryAfter(0), Fault::WrongRange] {
        server.fault(fault);
    }
    let cache = cache(folder.path(), http()).await;
    let error = pull(&cache, &url).await.map(|_| ()).err();
    assert!(error.is_none(), "{error:?}");
    assert_eq!(cache.find(&url).await.unwrap().unwrap().digest, Some(digest(&noise(BIG))));
}

#[tokio::test]
async fn what_does_not_pass_ends_after_so_many_times() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(10));
    for _ in 0..10 {
        server.fault(Fault::Status(500));
    }
    let cache = cache(folder.path(), http()).await;
    let error = pull(&cache, &url).await.unwrap_err();
    assert!(matches!(error, StoreError::Source(SourceError::Unreachable { .. })), "{error}");
    assert_eq!(server.reads("/m.bin").len(), 4, "once, and three times again");
    assert_eq!((cache.activity().fetching, cache.activity().failed), (0, 1));
}

#[tokio::test]
async fn a_change_while_it_is_read_is_noticed() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", vec![1; BIG]);
    server.fault(Fault::Stall(2 << 20));
    let cache = cache(folder.path(), http()).await;
    pull_until(&cache, &url, 2 << 20).await;
    server.fault(Fault::WrongTotal);
    assert_eq!(pull(&cache, &url).await.unwrap().digest, digest(&[1; BIG]));
}

#[tokio::test]
async fn many_callers_share_one_fetch() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(BIG));
    let (here, other_process) = (cache(folder.path(), http()).await, cache(folder.path(), http()).await);
    let pulls = (0..16).map(|caller| pull(if caller % 2 == 0 { &here } else { &other_process }, &url));
    for stored in futures::future::join_all(pulls).await {
        assert_eq!(stored.unwrap().digest, digest(&noise(BIG)));
    }
    assert_eq!(server.reads("/m.bin").len(), 1);
}

#[tokio::test]
async fn one_callers_credentials_are_not_anothers() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(1000));
    server.needs_token("right");
    let cache = cache(folder.path(), http()).await;
    let request = |token: &str| FetchRequest { credentials: Some(Credentials::bearer(token)), ..url.clone().into() };
    let pull = |token| cache.pull(request(token), watch::channel(FetchProgress::default()).0);
    let wrong = pull("wrong").await;
    assert!(matches!(wrong, Err(StoreError::Source(SourceError::Denied { .. }))), "{wrong:?}");
    pull("right").await.unwrap();
}

#[tokio::test]
async fn bytes_that_do_not_fit_their_digest_are_discarded() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    server.hub_file("/o/r/m.bin", noise(1000), true);
    server.lies_about_digests();
    let config = HubConfig { endpoint: server.base(), token: Some(Secret::new("t")) };
    let cache = cache(folder.path(), HuggingFaceSource::new(&WebConfig::default(), config).unwrap()).await;
    let error = pull(&cache, &"hf:///o/r/m.bin".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, StoreError::DigestMismatch { .. }), "{error}");
    assert_eq!(blobs(folder.path()), 0);
    assert!(cache.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_sign_in_page_and_half_a_model_are_no_models() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let cache = cache(folder.path(), http()).await;
    let model = tiny_gguf(1);
    for bytes in [b"<!DOCTYPE html><title>Sign in</title>".to_vec(), model[..model.len() / 2].to_vec()] {
        let error = pull(&cache, &server.file("/m.gguf", bytes)).await.unwrap_err();
        assert!(matches!(error, StoreError::NotAModel { .. }), "{error}");
        assert_eq!(blobs(folder.path()), 0);
    }
    pull(&cache, &server.file("/m.gguf", model)).await.unwrap();
}

#[tokio::test]
async fn a_model_is_had_without_its_source_after_a_restart() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.gguf", tiny_gguf(1));
    let first = pull(&cache(folder.path(), http()).await, &url).await.unwrap();
    server.shut_down();
    let second = pull(&cache(folder.path(), http()).await, &url).await.unwrap();
    assert_eq!((first.path, first.digest), (second.path, second.digest));
}

#[tokio::test]
async fn the_oldest_goes_first_and_what_is_used_stays() {
    let folder = tempdir().unwrap();
    let urls: Vec<ModelUrl> = (0..4).map(|n| format!("memory:{n}").parse().unwrap()).collect();
    let models = urls.iter().zip(0..).map(|(url, seed)| (url.clone(), vec![seed; 1000]));
    let limited = CacheConfig { max_bytes: Some(2500), ..CacheConfig::new("here".into(), folder.path()) };
    let cache = Cache::open(limited, InMemorySource::new(models.collect::<Vec<_>>())).await.unwrap();
    let used = pull(&cache, &urls[0]).await.unwrap();
    pull(&cache, &urls[1]).await.unwrap();
    pull(&cache, &urls[2]).await.unwrap();
    let there = async || cache.list().await.unwrap().into_iter().map(|entry| entry.url).collect::<Vec<_>>();
    assert_eq!(there().await, [urls[0].clone(), urls[2].clone()]);

    let also_used = pull(&cache, &urls[2]).await.unwrap();
    let full = pull(&cache, &urls[3]).await.unwrap_err();
    assert!(matches!(full, StoreError::NoSpace { needed: 1000, free: 500, .. }), "{full}");
    let held = cache.remove(&"here".into(), &urls[0]).await.unwrap_err();
    assert!(matches!(held, StoreError::InUse { .. }), "{held}");
    assert!(used.path.exists() && also_used.path.exists());
    drop(used);
    pull(&cache, &urls[3]).await.unwrap();
    assert_eq!(there().await, [urls[2].clone(), urls[3].clone()]);
    let usage = cache.usage().await.unwrap();
    assert_eq!((usage.models, usage.partial, usage.limit), (2000, 0, Some(2500)));
}

#[tokio::test]
async fn files_that_are_the_same_are_stored_once_and_go_with_the_last() {
    let folder = tempdir().unwrap();
    let urls: Vec<ModelUrl> = (0..2).map(|n| format!("memory:{n}").parse().unwrap()).collect();
    let models: Vec<_> = urls.iter().map(|url| (url.clone(), noise(1000))).collect();
    let cache = cache(folder.path(), InMemorySource::new(models)).await;
    let paths = [pull(&cache, &urls[0]).await.unwrap().path, pull(&cache, &urls[1]).await.unwrap().path];
    assert_eq!(paths[0], paths[1]);
    assert_eq!(cache.usage().await.unwrap().models, 1000);
    cache.forget(&urls[0]).await.unwrap();
    assert!(paths[0].exists());
    cache.forget(&urls[1]).await.unwrap();
    assert_eq!(blobs(folder.path()), 0);
}

#[tokio::test]
async fn a_new_version_replaces_the_old_once_nobody_uses_it() {
    let folder = tempdir().unwrap();
    let url: ModelUrl = "builtin:kitten".parse().unwrap();
    let (old, new): (&'static [u8], &'static [u8]) = (tiny_gguf(1).leak(), tiny_gguf(2).leak());
    let before = cache(folder.path(), BuiltinSource::new([("kitten", old)])).await;
    let used = pull(&before, &url).await.unwrap();
    let after = cache(folder.path(), BuiltinSource::new([("kitten", new)])).await;
    let stored = pull(&after, &url).await.unwrap();
    assert_eq!((used.digest, stored.digest), (digest(old), digest(new)));
    assert!(used.path.exists(), "a worker has it open");
    drop((used, stored));
    pull(&after, &url).await.unwrap();
    after.forget(&url).await.unwrap();
    assert!(after.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_damaged_index_and_a_damaged_fetch_are_made_good() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.gguf", tiny_gguf(1));
    pull(&cache(folder.path(), http()).await, &url).await.unwrap();
    std::fs::write(folder.path().join("index.json"), "{\"schemaVersion\":2,\"manif").unwrap();
    let again = cache(folder.path(), http()).await;
    assert!(again.find(&url).await.unwrap().unwrap().complete);

    let broken = server.file("/b.bin", noise(BIG));
    server.fault(Fault::Stall(2 << 20));
    pull_until(&again, &broken, 2 << 20).await;
    let partial =
        std::fs::read_dir(folder.path().join("partial")).unwrap().flatten().find(|entry| entry.path().is_dir());
    std::fs::write(partial.unwrap().path().join("model.json"), "nonsense").unwrap();
    assert_eq!(pull(&again, &broken).await.unwrap().digest, digest(&noise(BIG)));
}

#[tokio::test]
async fn spoilt_bytes_of_an_earlier_fetch_are_fetched_again() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    server.hub_file("/o/r/m.bin", noise(BIG), true);
    let url: ModelUrl = "hf:///o/r/m.bin".parse().unwrap();
    let config = HubConfig { endpoint: server.base(), token: None };
    let cache = cache(folder.path(), HuggingFaceSource::new(&WebConfig::default(), config).unwrap()).await;
    server.fault(Fault::Stall(2 << 20));
    pull_until(&cache, &url, 2 << 20).await;
    let partial =
        std::fs::read_dir(folder.path().join("partial")).unwrap().flatten().find(|entry| entry.path().is_dir());
    let part = partial.unwrap().path().join("0.part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[1000..2000].fill(0);
    std::fs::write(&part, bytes).unwrap();
    assert_eq!(pull(&cache, &url).await.unwrap().digest, digest(&noise(BIG)));
}

#[tokio::test]
async fn a_missing_blob_is_fetched_again() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.gguf", tiny_gguf(1));
    let cache = cache(folder.path(), http()).await;
    std::fs::remove_file(pull(&cache, &url).await.unwrap().path).unwrap();
    assert!(pull(&cache, &url).await.unwrap().path.exists());
    assert_eq!(server.reads("/m.gguf").len(), 2);
}

#[tokio::test]
async fn parts_of_a_split_model_lie_side_by_side_under_their_names() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    for part in 1..=2 {
        server.file(&format!("/m-0000{part}-of-00002.gguf"), tiny_gguf(part));
    }
    let cache = cache(folder.path(), http()).await;
    let url = server.url("/m-00002-of-00002.gguf");
    let stored = pull(&cache, &url).await.unwrap();
    assert!(stored.path.ends_with("m-00001-of-00002.gguf"), "{}", stored.path.display());
    let second = stored.path.with_file_name("m-00002-of-00002.gguf");
    assert_eq!((std::fs::read(&stored.path).unwrap(), std::fs::read(second).unwrap()), (tiny_gguf(1), tiny_gguf(2)));
    let path = stored.path.clone();
    drop(stored);
    cache.forget(&url).await.unwrap();
    assert!(!path.parent().unwrap().exists() && blobs(folder.path()) == 0);
}

#[tokio::test]
async fn a_full_disk_is_said_and_what_is_there_stays() {
    let (server, folder) = (Server::start().await, tempdir().unwrap());
    let url = server.file("/m.bin", noise(BIG));
    let cache = cache(folder.path(), http()).await;
    server.fault(Fault::Stall(1 << 20));
    pull_until(&cache, &url, 1 << 20).await;
    let partial =
        std::fs::read_dir(folder.path().join("partial")).unwrap().flatten().find(|entry| entry.path().is_dir());
    let part = partial.unwrap().path().join("0.part");
    std::fs::remove_file(&part).unwrap();
    // Every write to it finds the disk full.
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let outcome = tokio::time::timeout(clowder_core::testing::PATIENCE, pull(&cache, &url)).await;
    let error = outcome.expect("an answer").unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
    assert!(!cache.find(&url).await.unwrap().unwrap().complete);
}

#[tokio::test]
async fn a_file_is_used_where_it_is_until_it_changes() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, tiny_gguf(1)).unwrap();
    let url = ModelUrl::File(path.display().to_string());
    let cache = cache(&folder.path().join("cache"), Sources::new().with(FileSource)).await;
    let stored = pull(&cache, &url).await.unwrap();
    assert_eq!((&stored.path, stored.digest), (&path, digest(&tiny_gguf(1))));
    assert!(cache.find(&url).await.unwrap().unwrap().in_place);
    assert_eq!(cache.usage().await.unwrap().models, 0);
    std::fs::write(&path, [tiny_gguf(2), vec![0]].concat()).unwrap();
    assert_eq!(pull(&cache, &url).await.unwrap().digest, digest(&[tiny_gguf(2), vec![0]].concat()));
    std::fs::write(&path, "no model at all").unwrap();
    assert!(matches!(pull(&cache, &url).await, Err(StoreError::NotAModel { .. })));
}

/// Names its files as it likes.
struct Hostile;

#[async_trait]
impl ModelSource for Hostile {
    fn serves(&self, _: &ModelUrl) -> bool {
        true
    }

    async fn resolve(&self, url: &ModelUrl, _: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let file = |name: &str| SourceFile {
            name: name.to_owned(),
            location: name.to_owned(),
            size: Some(3),
            digest: None,
            etag: Some("../..".to_owned()),
        };
        Ok(Manifest { url: url.clone(), files: vec![file("../../escaped"), file("/etc/escaped")] })
    }

    async fn read(
        &self,
        file: &SourceFile,
        _: Range<u64>,
        _: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let bytes = Bytes::copy_from_slice(&file.name.as_bytes()[..3]);
        Ok(stream::iter([Ok(bytes)]).boxed())
    }
}

#[tokio::test]
async fn no_name_leads_out_of_the_folder() {
    let outer = tempdir().unwrap();
    let folder = outer.path().join("a/b/cache");
    let config = CacheConfig { retries: retries(0), ..CacheConfig::new("here".into(), &folder) };
    let cache = Cache::open(config, Hostile).await.unwrap();
    let stored = pull(&cache, &"evil:../../x".parse().unwrap()).await.unwrap();
    assert!(
        stored.path.starts_with(std::fs::canonicalize(&folder).unwrap().join("models")),
        "{}",
        stored.path.display()
    );
    assert_eq!(std::fs::read(&stored.path).unwrap(), b"../");
    assert_eq!(std::fs::read_dir(outer.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(outer.path().join("a")).unwrap().count(), 1);
}
