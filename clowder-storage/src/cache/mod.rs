//! The models of this machine: fetched once, verified before they have a name, shared by all who ask, resumed after a
//! crash, and kept as long as somebody uses them.

mod changes;
mod check;
mod download;
mod entry;
mod error;
mod flight;
mod index;
mod layout;
mod lock;
mod meter;
mod oci;
mod partial;
mod pins;
mod refer;
mod reference;
mod retry;
mod room;
mod source;
mod stock;
mod store;

pub use entry::{Activity, Entry, Usage};
pub use oci::StoredFile;
pub use retry::Retries;
pub use source::CachedSource;

use changes::Changes;
use clowder_core::node::NodeName;
use clowder_core::source::{Digest, ModelSource, SourceError};
use clowder_core::store::{FetchProgress, FetchRequest, Lease, StoreError, StoredModel};
use clowder_core::url::ModelUrl;
use download::Download;
use error::failed;
use flight::{Flights, relay};
use index::Record;
use layout::Layout;
use lock::{Exclusive, Share};
use room::FreeSpace;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How often a fetch of another process is looked at; there is nothing to wait on between processes.
const LOOK: Duration = Duration::from_millis(250);

/// How a cache is set up.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// The node that the cache is on; [`ModelStore`](clowder_core::ModelStore)'s calls must name it.
    pub node: NodeName,
    /// Its folder, made where it is not there. Several processes may share one.
    pub folder: PathBuf,
    /// The most bytes that models may take; beyond it, those not used for longest go. `None` never removes a model.
    pub max_bytes: Option<u64>,
    /// How a fetch that fails is tried again.
    pub retries: Retries,
}

impl CacheConfig {
    /// A cache of any size.
    pub fn new(node: NodeName, folder: impl Into<PathBuf>) -> Self {
        Self { node, folder: folder.into(), max_bytes: None, retries: Retries::default() }
    }
}

/// The models of one machine. Clones are the same cache.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    config: CacheConfig,
    layout: Layout,
    source: Arc<dyn ModelSource>,
    flights: Flights,
    changes: Changes,
    free: FreeSpace,
    received: AtomicU64,
    fetched: AtomicU64,
    failed: AtomicU64,
}

impl Cache {
    /// Opens the folder, making it where it is not there.
    ///
    /// # Errors
    /// [`StoreError::Cache`] where the folder cannot be made or written.
    pub async fn open(config: CacheConfig, source: impl ModelSource + 'static) -> Result<Self, StoreError> {
        Self::open_with(config, source, room::of_the_disk()).await
    }

    async fn open_with(
        config: CacheConfig,
        source: impl ModelSource + 'static,
        free: FreeSpace,
    ) -> Result<Self, StoreError> {
        let folder = config.folder.clone();
        let layout = blocking(move || {
            let layout = Layout::create(&folder)?;
            index::lock(&layout)?.drop_replaced()?;
            Ok::<_, StoreError>(layout)
        })
        .await?;
        let (received, fetched, failed) = Default::default();
        let source = Arc::new(source);
        let (flights, changes) = (Flights::default(), Changes::default());
        let inner = Inner { config, layout, source, flights, changes, free, received, fetched, failed };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The node this cache is on.
    pub fn node(&self) -> &NodeName {
        &self.inner.config.node
    }

    /// The cache's folder.
    pub fn folder(&self) -> &Path {
        self.inner.layout.folder()
    }

    /// Makes a model present: [`ModelStore::ensure`](clowder_core::ModelStore::ensure) on this node. Dropping the future stops
    /// the fetch, unless another caller waits for it; the next one goes on from there.
    ///
    /// # Errors
    /// As [`ModelStore::ensure`](clowder_core::ModelStore::ensure).
    pub async fn pull(
        &self,
        mut request: FetchRequest,
        progress: watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        if matches!(request.url, ModelUrl::File(_)) {
            return self.refer(&request, &progress).await;
        }
        if matches!(request.url, ModelUrl::Builtin(_)) && request.digest.is_none() {
            // Another version of the program carries another model under the same name.
            request.digest = self.source().resolve(&request.url, None).await?.main().and_then(|main| main.digest);
        }
        if let Some(stored) = self.stored(&request, &progress).await? {
            return Ok(stored);
        }
        let _told = self.inner.changes.at_the_end();
        let ticket = self.inner.flights.join(&request.url);
        self.inner.changes.tell();
        let turn = ticket.turn(&request, &progress).await?;
        if let Some(stored) = self.stored(&request, &progress).await? {
            return Ok(stored);
        }
        let fetched = relay(&turn.progress, &progress, self.fetch(&request, &turn.progress)).await;
        match fetched {
            Ok(stored) => {
                self.inner.fetched.fetch_add(1, Ordering::Relaxed);
                tracing::info!(url = %request.url, bytes = stored.bytes, digest = %stored.digest, "fetched a model");
                Ok(stored)
            }
            Err(error) => {
                self.inner.failed.fetch_add(1, Ordering::Relaxed);
                Err(turn.fail(&request, error))
            }
        }
    }

    /// All models, whole or not, by URL.
    ///
    /// # Errors
    /// [`StoreError::Cache`] where the folder cannot be read.
    pub async fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.list()).await
    }

    /// One model, whole or not.
    ///
    /// # Errors
    /// [`StoreError::Cache`] where the folder cannot be read.
    pub async fn find(&self, url: &ModelUrl) -> Result<Option<Entry>, StoreError> {
        Ok(self.list().await?.into_iter().find(|entry| entry.url == *url))
    }

    /// Forgets a model and frees its bytes. What is not there is no error; a `file://` model's file stays.
    ///
    /// # Errors
    /// [`StoreError::Pinned`]; [`StoreError::InUse`] while a lease holds it or somebody fetches it.
    pub async fn forget(&self, url: &ModelUrl) -> Result<(), StoreError> {
        let _told = self.inner.changes.at_the_end();
        let (inner, url) = (Arc::clone(&self.inner), url.clone());
        blocking(move || room::remove(&inner.layout, &url)).await
    }

    /// What it takes of the disk.
    ///
    /// # Errors
    /// [`StoreError::Cache`] where the folder cannot be read.
    pub async fn usage(&self) -> Result<Usage, StoreError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let folder = inner.layout.folder().to_owned();
            let free = (inner.free)(&folder).map_err(failed("look-up of the free space of", &folder))?;
            let partial = room::fetches(&inner.layout)?.iter().map(|fetch| fetch.bytes).sum();
            let models = index::lock(&inner.layout)?.bytes();
            Ok(Usage { models, partial, limit: inner.config.max_bytes, free, folder })
        })
        .await
    }

    /// What this process has done with it.
    pub fn activity(&self) -> Activity {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Activity {
            received: read(&self.inner.received),
            fetching: self.inner.flights.count() as u64,
            fetched: read(&self.inner.fetched),
            failed: read(&self.inner.failed),
        }
    }

    fn source(&self) -> &dyn ModelSource {
        self.inner.source.as_ref()
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.inner.layout.blob(digest)
    }

    /// The model, where it is whole and the one asked for.
    async fn stored(
        &self,
        request: &FetchRequest,
        progress: &watch::Sender<FetchProgress>,
    ) -> Result<Option<StoredModel>, StoreError> {
        let (inner, url, digest) = (Arc::clone(&self.inner), request.url.clone(), request.digest);
        let stored = blocking(move || {
            let mut records = index::records(&inner.layout)?.into_iter();
            let Some(record) = records.find(|record| record.url == url) else {
                return Ok::<_, StoreError>(None);
            };
            let path = inner.layout.blob(record.manifest);
            let share = Share::acquire(&path).map_err(failed("lock of", &path))?;
            let stored = share.and_then(|share| inner.lend(&record, share));
            Ok(stored.filter(|stored| digest.is_none_or(|digest| digest == stored.digest)))
        })
        .await?;
        if let Some(stored) = &stored {
            progress.send_replace(FetchProgress { bytes: stored.bytes, total: Some(stored.bytes), rate: 0 });
        }
        Ok(stored)
    }

    async fn fetch(
        &self,
        request: &FetchRequest,
        progress: &watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        let lock = loop {
            let inner = Arc::clone(&self.inner);
            let url = request.url.clone();
            let acquired = blocking(move || {
                let path = inner.layout.partial_lock(&url);
                let lock = Exclusive::try_acquire(&path).map_err(failed("lock of", &path))?;
                let folder = inner.layout.partial(&url);
                Ok::<_, StoreError>(lock.ok_or_else(|| FetchProgress {
                    bytes: partial::bytes(&folder),
                    total: partial::Sidecar::read(&folder).and_then(|sidecar| sidecar.total()),
                    rate: 0,
                }))
            });
            match acquired.await? {
                Ok(lock) => break lock,
                Err(elsewhere) => {
                    progress.send_replace(elsewhere);
                    tokio::time::sleep(LOOK).await;
                }
            }
        };
        // Another process may have just fetched it.
        if let Some(stored) = self.stored(request, progress).await? {
            return Ok(stored);
        }
        let (record, share) = Download { inner: &self.inner, request, lock }.run(progress).await?;
        let bytes = record.bytes();
        progress.send_replace(FetchProgress { bytes, total: Some(bytes), rate: 0 });
        self.inner.lend(&record, share).ok_or_else(|| SourceError::NotFound { what: request.url.to_string() }.into())
    }
}

impl Inner {
    fn lend(&self, record: &Record, share: Share) -> Option<StoredModel> {
        let digest = record.files.first()?.digest;
        let path = record.path(&self.layout);
        let hold = Some(self.layout.blob(record.manifest));
        Some(StoredModel { path, digest, bytes: record.bytes(), lease: Lease::new(share), hold })
    }

    fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let (mut entries, pins) = (Vec::new(), pins::read(&self.layout)?);
        for record in index::records(&self.layout)? {
            let bytes = record.bytes();
            let manifest = self.layout.blob(record.manifest);
            entries.push(Entry {
                complete: true,
                path: Some(record.path(&self.layout)),
                digest: record.files.first().map(|file| file.digest),
                bytes,
                total: Some(bytes),
                rate: 0,
                in_use: matches!(Share::sole(&manifest), Ok(None)),
                in_place: false,
                pinned: pins.contains(&record.url),
                last_used: entry::unix_seconds(record.last_used(&self.layout)),
                url: record.url,
                files: record.files,
            });
        }
        for reference in reference::all(&self.layout)? {
            entries.push(Entry {
                pinned: pins.contains(&reference.url),
                url: reference.url,
                complete: true,
                path: Some(reference.path),
                digest: Some(reference.digest),
                bytes: reference.bytes,
                total: Some(reference.bytes),
                rate: 0,
                files: Vec::new(),
                in_use: false,
                in_place: true,
                last_used: None,
            });
        }
        for fetch in room::fetches(&self.layout)? {
            if entries.iter().any(|entry| entry.url == fetch.sidecar.url) {
                continue;
            }
            let progress = self.flights.progress(&fetch.sidecar.url).unwrap_or_default();
            entries.push(Entry {
                complete: false,
                path: None,
                digest: None,
                bytes: fetch.bytes.max(progress.bytes),
                total: fetch.sidecar.total(),
                rate: progress.rate,
                files: Vec::new(),
                in_use: fetch.active,
                in_place: false,
                pinned: pins.contains(&fetch.sidecar.url),
                last_used: None,
                url: fetch.sidecar.url,
            });
        }
        entries.sort_by(|a, b| a.url.cmp(&b.url));
        Ok(entries)
    }
}

/// Work that may block, off the threads that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests;
