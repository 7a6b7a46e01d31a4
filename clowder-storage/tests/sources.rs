//! The sources, against servers that speak their protocols.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use clowder_core::secret::{Credentials, CredentialsKind, Secret};
use clowder_core::source::SourceError;
use clowder_core::testing::source::conformance;
use clowder_core::testing::tiny_gguf;
use clowder_core::{ModelSource, ModelUrl};
use clowder_storage::sources::{BuiltinSource, FileSource, HttpSource, HubConfig, HuggingFaceSource, WebConfig};
use clowder_storage::{CachedSource, Sources};
use futures::TryStreamExt;
use std::sync::Arc;
use support::{COMMIT, Fault, Server, digest, noise};

fn http() -> HttpSource {
    HttpSource::new(&WebConfig::default()).unwrap()
}

fn hub(server: &Server, token: Option<&str>) -> HuggingFaceSource {
    let config = HubConfig { endpoint: server.base(), token: token.map(Secret::new) };
    HuggingFaceSource::new(&WebConfig::default(), config).unwrap()
}

fn url(text: &str) -> ModelUrl {
    text.parse().unwrap()
}

async fn read_all(source: &dyn ModelSource, url: &ModelUrl, credentials: Option<&Credentials>) -> Vec<u8> {
    let file = source.resolve(url, credentials).await.unwrap().files.remove(0);
    let stream = source.read(&file, 0..u64::MAX, credentials).await.unwrap();
    stream.map_ok(|chunk| chunk.to_vec()).try_concat().await.unwrap()
}

#[tokio::test]
async fn builtin_and_file_conform() {
    let model: &'static [u8] = tiny_gguf(1).leak();
    let builtin = BuiltinSource::new([("kitten", model)]);
    conformance(&builtin, &url("builtin:kitten"), model, Some(&url("builtin:dog"))).await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, model).unwrap();
    let (file, absent) = (ModelUrl::File(path.display().to_string()), ModelUrl::File("/no/such.gguf".into()));
    conformance(&FileSource, &file, model, Some(&absent)).await;
    let all = Sources::new().with(builtin).with(FileSource);
    conformance(&Arc::new(all), &file, model, Some(&absent)).await;
}

#[tokio::test]
async fn http_conforms_whatever_the_server_can() {
    let bytes = noise(100_000);
    for (ranges, head, marked) in [(true, true, true), (false, true, true), (true, false, true), (false, false, false)]
    {
        let server = Server::start().await;
        if !ranges {
            server.without_ranges();
        }
        if !head {
            server.without_head();
        }
        let url =
            if marked { server.file("/m.bin", bytes.clone()) } else { server.unmarked_file("/m.bin", bytes.clone()) };
        conformance(&http(), &url, &bytes, Some(&server.url("/absent"))).await;
    }
}

#[tokio::test]
async fn hub_conforms_for_large_and_small_files_by_path_and_by_quantisation() {
    let (server, cdn) = (Server::start().await, Server::start().await);
    let bytes = tiny_gguf(2);
    server.hub_file("/o/r/dir/m-Q4_0.gguf", bytes.clone(), true);
    server.hub_file("/o/r/small.json", noise(500), false);
    let source = hub(&server, None);
    let absent = url("hf:///o/r/absent.gguf");
    conformance(&source, &url("hf:///o/r/dir/m-Q4_0.gguf"), &bytes, Some(&absent)).await;
    conformance(&source, &url("hf:///o/r/small.json"), &noise(500), Some(&url("hf://o/r:Q8_0"))).await;
    conformance(&source, &url("hf://o/r:Q4_0@v1"), &bytes, Some(&url("hf://o/absent:Q4_0"))).await;
    let elsewhere = url(&format!("hf://{}/o/r/dir/m-Q4_0.gguf", server.address));
    conformance(&source, &elsewhere, &bytes, None).await;
    server.with_cdn(&cdn);
    cdn.file("/o/r/dir/m-Q4_0.gguf", bytes.clone());
    conformance(&source, &url("hf:///o/r/dir/m-Q4_0.gguf"), &bytes, Some(&absent)).await;
}

#[tokio::test]
async fn the_cache_as_a_source_conforms_before_and_after_the_fetch_and_without_a_network() {
    let server = Server::start().await;
    let (bytes, folder) = (tiny_gguf(3), tempfile::tempdir().unwrap());
    let url = server.file("/m.gguf", bytes.clone());
    let cache = support::cache(folder.path(), http()).await;
    let source = CachedSource::new(cache.clone());
    conformance(&source, &url, &bytes, Some(&server.url("/absent"))).await;
    support::pull(&cache, &url).await.unwrap();
    server.shut_down();
    conformance(&source, &url, &bytes, None).await;
}

#[tokio::test]
async fn a_large_file_of_a_hub_has_its_digest_and_is_pinned() {
    let server = Server::start().await;
    server.hub_file("/o/r/m.gguf", noise(10), true);
    server.hub_file("/o/r/small.json", noise(5), false);
    let source = hub(&server, None);
    let large = source.resolve(&url("hf:///o/r/m.gguf"), None).await.unwrap().files.remove(0);
    assert_eq!((large.digest, large.size), (Some(digest(&noise(10))), Some(10)));
    assert!(large.location.contains(COMMIT), "{}", large.location);
    let small = source.resolve(&url("hf:///o/r/small.json"), None).await.unwrap().files.remove(0);
    assert_eq!((small.digest, small.etag), (None, Some("f".repeat(40))));
}

#[tokio::test]
async fn split_models_are_all_their_parts() {
    let server = Server::start().await;
    for part in 1..=3 {
        server.hub_file(&format!("/o/r/Q2_K/m-Q2_K-0000{part}-of-00003.gguf"), noise(part), true);
        server.file(&format!("/web/m-0000{part}-of-00003.gguf"), noise(part));
    }
    for (source, url) in [
        (&hub(&server, None) as &dyn ModelSource, url("hf://o/r:Q2_K")),
        (&hub(&server, None), url("hf:///o/r/Q2_K/m-Q2_K-00002-of-00003.gguf")),
        (&http(), server.url("/web/m-00003-of-00003.gguf")),
    ] {
        let sizes: Vec<_> = source.resolve(&url, None).await.unwrap().files.iter().map(|file| file.size).collect();
        assert_eq!(sizes, [Some(1), Some(2), Some(3)], "{url}");
    }
}

#[tokio::test]
async fn credentials_stay_with_the_origin() {
    let (home, away) = (Server::start().await, Server::start().await);
    let bytes = noise(1000);
    away.file("/stored", bytes.clone());
    let url = home.redirect("/m.bin", format!("{}/stored?signature=s", away.base()));
    let basic = Credentials { kind: CredentialsKind::Basic, value: Secret::new("dTpw") };
    assert_eq!(read_all(&http(), &url, Some(&basic)).await, bytes);
    assert!(home.seen().iter().all(|seen| seen.authorization.as_deref() == Some("Basic dTpw")));
    assert!(!away.seen().is_empty() && away.seen().iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn the_hubs_token_is_not_for_other_hubs_nor_for_where_files_are_stored() {
    let (server, cdn) = (Server::start().await, Server::start().await);
    server.hub_file("/o/r/m.gguf", noise(10), true);
    cdn.file("/o/r/m.gguf", noise(10));
    server.with_cdn(&cdn);
    server.needs_token("hf_secret");
    let source = hub(&server, Some("hf_secret"));
    assert_eq!(read_all(&source, &url("hf:///o/r/m.gguf"), None).await, noise(10));
    assert!(cdn.seen().iter().all(|seen| seen.authorization.is_none()));

    let other = Server::start().await;
    other.hub_file("/o/r/m.gguf", noise(10), true);
    let named = url(&format!("hf://{}/o/r/m.gguf", other.address));
    assert_eq!(read_all(&source, &named, None).await, noise(10));
    assert!(other.seen().iter().all(|seen| seen.authorization.is_none()));
    read_all(&source, &named, Some(&Credentials::bearer("own"))).await;
    assert!(other.seen().iter().any(|seen| seen.authorization.as_deref() == Some("Bearer own")));
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_shows_no_secret() {
    let server = Server::start().await;
    server.hub_file("/o/r/m.gguf", noise(10), true);
    server.needs_token("right");
    let (model, wrong) = (url("hf:///o/r/m.gguf"), Credentials::bearer("hf_wrong"));
    let refused = async |credentials| hub(&server, None).resolve(&model, credentials).await.unwrap_err();
    let private = refused(None).await;
    assert!(matches!(&private, SourceError::Denied { hint, .. } if hint.contains("HF_TOKEN")), "{private}");
    let with_token = refused(Some(&wrong)).await;
    assert!(matches!(&with_token, SourceError::Denied { .. }) && !with_token.to_string().contains("hf_wrong"));
    server.gated();
    let gated = refused(None).await;
    assert!(
        matches!(&gated, SourceError::Denied { hint, .. } if hint.contains("/o/r") && hint.contains("terms")),
        "{gated}"
    );

    let plain = http().resolve(&server.url("/m.bin?token=abc"), Some(&wrong)).await.unwrap_err();
    assert!(matches!(&plain, SourceError::Denied { .. }), "{plain}");
    assert!(!plain.to_string().contains("abc") && !plain.to_string().contains("hf_wrong"), "{plain}");
}

#[tokio::test]
async fn what_may_pass_is_told_from_what_will_not() {
    let server = Server::start().await;
    let url = server.file("/m.bin", noise(1000));
    let source = http();
    let file = source.resolve(&url, None).await.unwrap().files.remove(0);
    let read = async || source.read(&file, 0..1000, None).await.err();
    for fault in [Fault::Status(503), Fault::RetryAfter(1), Fault::WrongRange] {
        server.fault(fault);
        assert!(matches!(read().await, Some(SourceError::Unreachable { .. } | SourceError::Changed { .. })));
    }
    server.fault(Fault::Status(404));
    assert!(matches!(read().await, Some(SourceError::NotFound { .. })));
    server.fault(Fault::WrongTotal);
    assert!(matches!(read().await, Some(SourceError::Changed { .. })));
    server.fault(Fault::Cut(500));
    // Before or after the answer's head, as the connection goes.
    let cut = match source.read(&file, 0..1000, None).await {
        Ok(stream) => stream.try_collect::<Vec<_>>().await,
        Err(error) => Err(error),
    };
    assert!(matches!(cut, Err(SourceError::Unreachable { .. })), "{cut:?}");
    server.file("/m.bin", noise(999));
    assert!(matches!(read().await, Some(SourceError::Changed { .. })));
    server.shut_down();
    let gone = http().resolve(&url, None).await.unwrap_err();
    assert!(gone.is_transient(), "{gone}");
}

#[tokio::test]
async fn redirects_end() {
    let server = Server::start().await;
    let url = server.redirect("/loop", format!("{}/loop", server.base()));
    let error = http().resolve(&url, None).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error}");
    assert!(server.seen().len() <= 24, "{}", server.seen().len());
}
