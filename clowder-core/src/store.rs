//! `ModelStore`: is this model on that node?

use crate::BoxError;
use crate::gguf::GgufError;
use crate::model::ModelSpec;
use crate::node::NodeName;
use crate::secret::Credentials;
use crate::source::{Digest, SourceError};
use crate::url::ModelUrl;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// A model to be had on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Where it comes from.
    pub url: ModelUrl,
    /// What its main file must hash to.
    pub digest: Option<Digest>,
    /// What its source asks for.
    pub credentials: Option<Credentials>,
}

impl FetchRequest {
    /// The model's own file.
    pub fn of(spec: &ModelSpec) -> Self {
        Self { url: spec.source.clone(), digest: spec.digest, credentials: spec.credentials.clone() }
    }

    /// A file that goes with this one. What opens this one is told only to the same server.
    pub fn companion(&self, url: &ModelUrl, digest: Option<Digest>) -> Self {
        let credentials = self.credentials.clone().filter(|_| url.is_beside(&self.url));
        Self { url: url.clone(), digest, credentials }
    }

    /// All files that a worker of this model opens: its own, then those of its [companions](ModelSpec::companions).
    pub fn all_of(spec: &ModelSpec) -> Vec<Self> {
        let own = Self::of(spec);
        let others: Vec<Self> = spec.companions().map(|(url, digest)| own.companion(url, digest.copied())).collect();
        std::iter::once(own).chain(others).collect()
    }
}

impl From<ModelUrl> for FetchRequest {
    fn from(url: ModelUrl) -> Self {
        Self { url, digest: None, credentials: None }
    }
}

/// How far a fetch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchProgress {
    /// Bytes on the node.
    pub bytes: u64,
    /// Bytes in all, once known.
    pub total: Option<u64>,
    /// Bytes per second, over the last seconds.
    pub rate: u64,
}

impl FetchProgress {
    /// Seconds left at the present rate, where that can be said.
    pub fn eta_seconds(&self) -> Option<u64> {
        let left = self.total?.checked_sub(self.bytes)?;
        (self.rate > 0).then(|| left.div_ceil(self.rate))
    }
}

/// Keeps a stored model from eviction until the last clone is dropped.
#[derive(Clone)]
pub struct Lease(#[allow(dead_code, reason = "held for its Drop alone")] Arc<dyn Any + Send + Sync>);

impl Lease {
    /// A lease that ends with `guard`.
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Arc::new(guard))
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}

/// The most models that are pinned on a node.
pub const MOST_PINS: usize = 1024;

/// A model on a node, whole and verified.
#[derive(Clone, Debug)]
pub struct StoredModel {
    /// The file a worker opens, as a path of that node.
    pub path: PathBuf,
    /// What that file hashes to.
    pub digest: Digest,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Keeps it there.
    pub lease: Lease,
    /// What another process of that node locks shared (`flock`) to keep it there itself. `None` where nobody would take it
    /// away.
    pub hold: Option<PathBuf>,
}

/// A model that a node has, or has begun to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedModel {
    /// Where it came from.
    pub url: ModelUrl,
    /// Its main file's digest, once complete.
    pub digest: Option<Digest>,
    /// Bytes on the node.
    pub bytes: u64,
    /// Whether it is whole and verified.
    pub complete: bool,
    /// Whether it stays, whatever else needs the room.
    #[serde(default)]
    pub pinned: bool,
}

/// Models on nodes: this machine's cache, or the storage managers of a cluster.
#[async_trait]
pub trait ModelStore: Send + Sync {
    /// Makes the model present on the node and returns where. Callers at the same time share one fetch; a fetch that
    /// broke off is taken up where it ended. `progress` is updated while it runs.
    ///
    /// # Errors
    /// [`StoreError`]; a model that is whole on the node is returned without its source being asked.
    async fn ensure(
        &self,
        node: &NodeName,
        request: FetchRequest,
        progress: watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError>;

    /// The models of a node, by URL.
    async fn inventory(&self, node: &NodeName) -> Result<Vec<CachedModel>, StoreError>;

    /// Forgets a model and frees its bytes, unless a lease holds them. Unknown models are no error.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Pinned`], and where the store fails.
    async fn remove(&self, node: &NodeName, url: &ModelUrl) -> Result<(), StoreError>;

    /// Pins these models on the node and no others, durably. Whole files of theirs stay, whatever else needs the room; those that
    /// are not there stay once they are, and are not fetched for it. The same again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::TooManyPins`], and where the store fails; then the pins are as before.
    async fn pin(&self, node: &NodeName, urls: &BTreeSet<ModelUrl>) -> Result<(), StoreError>;
}

/// Pinned models that have room which another needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedModels {
    /// Bytes of their files.
    pub bytes: u64,
    /// Which they are.
    pub urls: Vec<ModelUrl>,
}

impl fmt::Display for PinnedModels {
    /// Their bytes and the first few of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 3;
        let named: Vec<String> = self.urls.iter().take(NAMED).map(ModelUrl::to_string).collect();
        write!(f, "{} bytes of pinned models ({}", self.bytes, named.join(", "))?;
        match self.urls.len().saturating_sub(NAMED) {
            0 => write!(f, ")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

/// Why a model is not on a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Its source did not give it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The bytes are not what they should be; they were thrown away.
    #[error("{url}: expected {expected}, got {actual}; the bytes were discarded")]
    DigestMismatch {
        /// What was fetched.
        url: ModelUrl,
        /// What it should hash to.
        expected: Digest,
        /// What it hashes to.
        actual: Digest,
    },
    /// The bytes are no model, or not a whole one; they were thrown away.
    #[error("{url}: {error}; the bytes were discarded")]
    NotAModel {
        /// What was fetched.
        url: ModelUrl,
        /// What is wrong with it.
        error: GgufError,
    },
    /// The disk has not the room.
    #[error("no room for {url}: needs {needed} bytes, {free} free in {folder}; free some or move the cache")]
    NoSpace {
        /// What was fetched.
        url: ModelUrl,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        free: u64,
        /// The cache's folder.
        folder: PathBuf,
    },
    /// The room is that of pinned models.
    #[error(
        "no room for {url}: needs {needed} bytes, {free} free in {folder} beside {pinned}; unpin one or give the cache more"
    )]
    FullOfPinned {
        /// What was fetched.
        url: ModelUrl,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        free: u64,
        /// The cache's folder.
        folder: PathBuf,
        /// What stays.
        pinned: PinnedModels,
    },
    /// It stays for as long as a model is served that pins it.
    #[error("{url} is pinned: take cache.pin from the models that use it, or remove them, first")]
    Pinned {
        /// What should go.
        url: ModelUrl,
    },
    /// More models than may be.
    #[error("{0} models are more than the {MOST_PINS} that can be pinned on a node")]
    TooManyPins(usize),
    /// It cannot go while a worker uses it.
    #[error("{url} is in use by a worker: remove the model that runs it first")]
    InUse {
        /// What should go.
        url: ModelUrl,
    },
    /// The node is not one of this store's.
    #[error("no storage manager is known on node {node}")]
    UnknownNode {
        /// The node.
        node: NodeName,
    },
    /// Reading or writing the cache failed.
    #[error("the cache {what} failed")]
    Cache {
        /// What was being done, with the path.
        what: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing what is asked.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Source(source) => source.is_transient(),
            Self::NoSpace { .. } | Self::FullOfPinned { .. } | Self::Cache { .. } | Self::UnknownNode { .. } => true,
            Self::InUse { .. } | Self::Pinned { .. } => true,
            Self::DigestMismatch { .. } | Self::NotAModel { .. } | Self::TooManyPins(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_model_is_told_to_its_own_server_alone() {
        let mut spec = ModelSpec::new("m".parse().unwrap(), "https://h/m.gguf".parse().unwrap());
        spec.credentials = Some(Credentials::bearer("t"));
        for (name, source) in [("a", "https://h/a.gguf"), ("b", "https://i/b.gguf")] {
            let (name, source) = (name.parse().unwrap(), source.parse().unwrap());
            spec.adapters.push(crate::model::Adapter { name, source, digest: None });
        }
        spec.engine.draft = Some(crate::model::Draft::new("https://h/d.gguf".parse().unwrap()));
        let told: Vec<(String, bool)> = FetchRequest::all_of(&spec)
            .into_iter()
            .map(|request| (request.url.file_name(), request.credentials.is_some()))
            .collect();
        let expected = [("m.gguf", true), ("a.gguf", true), ("b.gguf", false), ("d.gguf", true)];
        assert_eq!(told, expected.map(|(name, told)| (name.to_owned(), told)));
    }

    #[test]
    fn eta_is_said_only_where_it_can_be() {
        let progress = FetchProgress { bytes: 10, total: Some(110), rate: 30 };
        assert_eq!(progress.eta_seconds(), Some(4));
        assert_eq!(FetchProgress { rate: 0, ..progress }.eta_seconds(), None);
        assert_eq!(FetchProgress { total: None, ..progress }.eta_seconds(), None);
    }

    #[test]
    fn what_is_pinned_is_named_up_to_a_few() {
        let said = |count: usize| {
            let urls = (0..count).map(|n| format!("builtin:m{n}").parse().unwrap()).collect();
            PinnedModels { bytes: 7, urls }.to_string()
        };
        assert_eq!(said(1), "7 bytes of pinned models (builtin:m0)");
        assert_eq!(said(5), "7 bytes of pinned models (builtin:m0, builtin:m1, builtin:m2 and 2 more)");
    }
}
