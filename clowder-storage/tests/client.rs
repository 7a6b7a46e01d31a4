//! The callers of storage managers, against real ones.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use clowder_core::node::NodeName;
use clowder_core::store::FetchRequest;
use clowder_core::testing::{store, tiny_gguf};
use clowder_core::{ModelUrl, Secret};
use clowder_storage::api::{self, server::Listener};
use clowder_storage::client::{Directory, Manager, ManagerError, Managers};
use clowder_storage::sources::{HttpSource, WebConfig};
use std::sync::Arc;
use support::{Server, cache};
use tempfile::{TempDir, tempdir};

/// A manager on a free port of this machine, with the token `t`.
async fn manager() -> (String, TempDir) {
    let folder = tempdir().unwrap();
    let cache = cache(folder.path(), HttpSource::new(&WebConfig::default()).unwrap()).await;
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), true).await.unwrap();
    let base = format!("http://{}", listener.address());
    let router = api::router(cache, Some(Secret::new("t")));
    tokio::spawn(listener.serve(router, std::future::pending()));
    (base, folder)
}

struct One(String);

impl Directory for One {
    fn manager(&self, node: &NodeName) -> Option<String> {
        (node.as_str() == "a").then(|| self.0.clone())
    }
}

#[tokio::test]
async fn the_managers_of_a_cluster_conform() {
    let server = Server::start().await;
    let url = server.file("/m.gguf", tiny_gguf(1));
    let absent = server.url("/none.gguf");
    let (base, _folder) = manager().await;
    let managers = Managers::new(Arc::new(One(base)), Some(Secret::new("t")));
    store::conformance(&managers, &"a".into(), &url, &absent).await;
}

#[tokio::test]
async fn a_wrong_token_an_absent_manager_and_a_stranger_are_told_apart() {
    let (base, _folder) = manager().await;
    let wrong = Manager::new(&base, Some(&Secret::new("u"))).unwrap().list().await.unwrap_err();
    assert!(matches!(&wrong, ManagerError::Refused { status: 401, .. }) && !wrong.is_transient(), "{wrong:?}");
    let url: ModelUrl = "http://127.0.0.1:9/m.gguf".parse().unwrap();
    let unreachable = Manager::new(&base, Some(&Secret::new("t"))).unwrap().fetch(&FetchRequest::from(url)).await;
    let unreachable = unreachable.unwrap_err();
    assert!(matches!(&unreachable, ManagerError::Refused { status: 502, .. }), "{unreachable:?}");
    assert!(unreachable.is_transient());
    let absent = Manager::new("http://127.0.0.1:9", None).unwrap().list().await.unwrap_err();
    assert!(matches!(absent, ManagerError::Unreachable { .. }) && absent.is_transient(), "{absent:?}");
    let stranger = Server::start().await;
    let stranger = Manager::new(&stranger.base(), None).unwrap().list().await.unwrap_err();
    assert!(matches!(stranger, ManagerError::Senseless { .. }), "{stranger:?}");
    for bad in ["", "localhost:8050", "ftp://h"] {
        assert!(matches!(Manager::new(bad, None), Err(ManagerError::Address(_))), "{bad}");
    }
}
