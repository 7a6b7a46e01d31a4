//! For [`ModelStore`]: an in-memory one, and the suite.

use crate::node::NodeName;
use crate::source::{Digest, SourceError};
use crate::store::{CachedModel, FetchProgress, FetchRequest, Lease, MOST_PINS, ModelStore, StoreError, StoredModel};
use crate::url::ModelUrl;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A store of one node that holds given models without a byte on disk.
pub struct InMemoryStore {
    node: NodeName,
    paths: BTreeMap<ModelUrl, PathBuf>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    present: BTreeMap<ModelUrl, CachedModel>,
    pinned: BTreeSet<ModelUrl>,
}

impl InMemoryStore {
    /// A store that can get these models, each at a path.
    pub fn new(node: NodeName, models: impl IntoIterator<Item = (ModelUrl, PathBuf)>) -> Self {
        Self { node, paths: models.into_iter().collect(), kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, node: &NodeName) -> Result<(), StoreError> {
        if *node == self.node { Ok(()) } else { Err(StoreError::UnknownNode { node: node.clone() }) }
    }
}

#[async_trait]
impl ModelStore for InMemoryStore {
    async fn ensure(
        &self,
        node: &NodeName,
        request: FetchRequest,
        progress: watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        self.check(node)?;
        let url = request.url;
        let path = self.paths.get(&url).ok_or_else(|| SourceError::NotFound { what: url.to_string() })?.clone();
        let digest = Digest::from_bytes([7; 32]);
        if let Some(expected) = request.digest.filter(|expected| *expected != digest) {
            return Err(StoreError::DigestMismatch { url, expected, actual: digest });
        }
        progress.send_replace(FetchProgress { bytes: 1, total: Some(1), rate: 0 });
        let cached = CachedModel { url: url.clone(), digest: Some(digest), bytes: 1, complete: true, pinned: false };
        self.kept().present.insert(url, cached);
        Ok(StoredModel { path, digest, bytes: 1, lease: Lease::new(()), hold: None })
    }

    async fn inventory(&self, node: &NodeName) -> Result<Vec<CachedModel>, StoreError> {
        self.check(node)?;
        let kept = self.kept();
        let told = |model: &CachedModel| CachedModel { pinned: kept.pinned.contains(&model.url), ..model.clone() };
        Ok(kept.present.values().map(told).collect())
    }

    async fn remove(&self, node: &NodeName, url: &ModelUrl) -> Result<(), StoreError> {
        self.check(node)?;
        let mut kept = self.kept();
        if kept.pinned.contains(url) {
            return Err(StoreError::Pinned { url: url.clone() });
        }
        kept.present.remove(url);
        Ok(())
    }

    async fn pin(&self, node: &NodeName, urls: &BTreeSet<ModelUrl>) -> Result<(), StoreError> {
        self.check(node)?;
        if urls.len() > MOST_PINS {
            return Err(StoreError::TooManyPins(urls.len()));
        }
        self.kept().pinned.clone_from(urls);
        Ok(())
    }
}

/// The suite: `url` can be had on `node`, `absent` cannot.
///
/// # Panics
/// Where the store does not keep to the trait's word.
pub async fn conformance(store: &dyn ModelStore, node: &NodeName, url: &ModelUrl, absent: &ModelUrl) {
    let ensure = |url: &ModelUrl| {
        let (progress, seen) = watch::channel(FetchProgress::default());
        let fetched = store.ensure(node, FetchRequest::from(url.clone()), progress);
        async move { (fetched.await, seen) }
    };
    let (first, progress) = ensure(url).await;
    let first = first.expect("fetched");
    let last = *progress.borrow();
    assert!(last.bytes > 0, "progress was told");
    assert!(last.total.is_none_or(|total| last.bytes <= total), "no more bytes than there are: {last:?}");
    let ((second, _), (third, _)) = tokio::join!(ensure(url), ensure(url));
    let (second, third) = (second.expect("there"), third.expect("there"));
    assert!(second.path == first.path && third.path == first.path, "the same file each time");
    assert_eq!(second.digest, first.digest);

    let has = |models: &[CachedModel]| models.iter().any(|model| model.url == *url && model.complete);
    assert!(has(&store.inventory(node).await.expect("an inventory")), "it is in the inventory");

    let request = FetchRequest { digest: Some(Digest::from_bytes([0; 32])), ..FetchRequest::from(url.clone()) };
    let other = store.ensure(node, request, watch::channel(FetchProgress::default()).0).await;
    assert!(matches!(other, Err(StoreError::DigestMismatch { .. })), "{other:?}");
    let (missing, _) = ensure(absent).await;
    assert!(matches!(missing, Err(StoreError::Source(SourceError::NotFound { .. }))), "{missing:?}");
    let nowhere = NodeName::from("no-such-node");
    assert!(matches!(store.inventory(&nowhere).await, Err(StoreError::UnknownNode { .. })));

    drop((first, second, third));
    let is_pinned = async || {
        let models = store.inventory(node).await.expect("an inventory");
        models.iter().any(|model| model.url == *url && model.pinned)
    };
    assert!(!is_pinned().await);
    let pins = BTreeSet::from([url.clone(), absent.clone()]);
    for _ in 0..2 {
        store.pin(node, &pins).await.expect("pinned, whether it is there or not");
        assert!(is_pinned().await, "the inventory says so");
    }
    let refused = store.remove(node, url).await;
    assert!(matches!(refused, Err(StoreError::Pinned { .. })), "{refused:?}");
    let many = (0..=MOST_PINS).map(|n| format!("builtin:m{n}").parse().expect("a URL")).collect();
    let refused = store.pin(node, &many).await;
    assert!(matches!(refused, Err(StoreError::TooManyPins(_))), "{refused:?}");
    assert!(is_pinned().await, "refused leaves all as it was");
    assert!(matches!(store.pin(&nowhere, &pins).await, Err(StoreError::UnknownNode { .. })));
    store.pin(node, &BTreeSet::new()).await.expect("not pinned any more");
    assert!(!is_pinned().await);
    store.remove(node, url).await.expect("removed");
    assert!(!has(&store.inventory(node).await.expect("an inventory")), "it is gone");
    store.remove(node, url).await.expect("removing what is not there is no error");
    ensure(url).await.0.expect("fetched again");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_memory_conforms() {
        let url: ModelUrl = "builtin:m".parse().unwrap();
        let store = InMemoryStore::new("a".into(), [(url.clone(), PathBuf::from("m.gguf"))]);
        conformance(&store, &"a".into(), &url, &"builtin:none".parse().unwrap()).await;
    }
}
