//! One fetch, from the source's manifest to verified files under their names.

use super::error::{failed, is_full};
use super::index::{self, Record, Verified};
use super::lock::{Exclusive, Share};
use super::meter::Meter;
use super::oci::StoredFile;
use super::partial::{self, Part};
use super::retry::Failures;
use super::{Inner, blocking, check, room};
use bytes::Bytes;
use clowder_core::source::{Manifest, SourceError, SourceFile};
use clowder_core::store::{FetchProgress, FetchRequest, StoreError};
use futures::StreamExt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;

/// Bytes gathered before they are written and hashed.
const BATCH: usize = 256 << 10;
/// Bytes after which a fetch has got on, so that its next failure counts as the first.
const PROGRESS: u64 = 1 << 20;
/// Bytes of a file of unknown size after which the room is looked at again.
const UNKNOWN: u64 = 64 << 20;
/// Times that a fetch begins anew because the file changed, or because what was resumed turned out to be spoilt.
const RESTARTS: u32 = 2;

/// A fetch of one model, the right to it held.
pub(super) struct Download<'a> {
    pub(super) inner: &'a Arc<Inner>,
    pub(super) request: &'a FetchRequest,
    pub(super) lock: Arc<Exclusive>,
}

/// How a fetch failed, and whether bytes of an earlier one had a part in it.
struct Failed {
    error: StoreError,
    resumed: bool,
}

/// How reading a file ended early.
enum Broken {
    Source(Part, SourceError),
    Disk(io::Error),
}

impl Download<'_> {
    pub(super) async fn run(&self, progress: &watch::Sender<FetchProgress>) -> Result<(Record, Share), StoreError> {
        let mut restarts = 0;
        loop {
            let manifest = self.resolve().await?;
            let Failed { error, resumed } = match self.fetch(&manifest, progress).await {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            let spoilt = matches!(error, StoreError::DigestMismatch { .. } | StoreError::NotAModel { .. });
            let changed = matches!(error, StoreError::Source(SourceError::Changed { .. }));
            if spoilt || changed {
                let folder = self.inner.layout.partial(&self.request.url);
                blocking(move || partial::discard(&folder)).await?;
            }
            if restarts == RESTARTS || !(changed || spoilt && resumed) {
                return Err(error);
            }
            restarts += 1;
            tracing::info!(url = %self.request.url, %error, "the fetch begins anew");
        }
    }

    async fn resolve(&self) -> Result<Manifest, StoreError> {
        let FetchRequest { url, credentials, .. } = self.request;
        let mut failures = Failures::new(&self.inner.config.retries);
        loop {
            match self.inner.source.resolve(url, credentials.as_ref()).await {
                Ok(manifest) if manifest.files.is_empty() => {
                    return Err(SourceError::NotFound { what: url.to_string() }.into());
                }
                Ok(manifest) => return Ok(manifest),
                Err(error) => failures.wait(error).await?,
            }
        }
    }

    async fn fetch(
        &self,
        manifest: &Manifest,
        progress: &watch::Sender<FetchProgress>,
    ) -> Result<(Record, Share), Failed> {
        let mut resumed = false;
        self.fetch_files(manifest, progress, &mut resumed).await.map_err(|error| Failed { error, resumed })
    }

    async fn fetch_files(
        &self,
        manifest: &Manifest,
        progress: &watch::Sender<FetchProgress>,
        resumed: &mut bool,
    ) -> Result<(Record, Share), StoreError> {
        let url = &self.request.url;
        let main = manifest.main().and_then(|main| main.digest);
        self.expect(main, self.request.digest)?;
        let folder = self.prepare(manifest).await?;
        let present = |file: &SourceFile| self.present(file);
        let total = manifest.files.iter().map(|file| file.size).sum::<Option<u64>>();
        let there =
            partial::bytes(&folder) + manifest.files.iter().filter_map(present).map(|file| file.size).sum::<u64>();
        self.make_room(total.map_or(0, |total| total.saturating_sub(there))).await?;
        let mut meter = Meter::new(progress.clone(), there, total);
        let mut verified = Vec::with_capacity(manifest.files.len());
        for (number, file) in manifest.files.iter().enumerate() {
            let part = partial::part(&folder, number);
            if let Some(file) = self.present(file) {
                verified.push(Verified { file, part });
                continue;
            }
            let (digest, size) = self.fetch_file(file, part.clone(), &mut meter, resumed).await?;
            self.expect(Some(digest), file.digest)?;
            let name = crate::sources::safe_name(&file.name);
            self.check_model(part.clone(), name.clone()).await?;
            verified.push(Verified { file: StoredFile { name, digest, size }, part });
        }
        self.expect(verified.first().map(|first| first.file.digest), self.request.digest)?;
        let (inner, url) = (Arc::clone(self.inner), url.clone());
        blocking(move || {
            let committed = index::lock(&inner.layout)?.commit(&url, verified)?;
            partial::discard(&folder)?;
            Ok(committed)
        })
        .await
    }

    /// The file, where a blob has its bytes already.
    fn present(&self, file: &SourceFile) -> Option<StoredFile> {
        let digest = file.digest?;
        let blob = std::fs::metadata(self.inner.layout.blob(digest)).ok()?;
        let name = crate::sources::safe_name(&file.name);
        file.size.is_none_or(|size| size == blob.len()).then_some(StoredFile { name, digest, size: blob.len() })
    }

    fn expect(
        &self,
        actual: Option<clowder_core::source::Digest>,
        expected: Option<clowder_core::source::Digest>,
    ) -> Result<(), StoreError> {
        match (actual, expected) {
            (Some(actual), Some(expected)) if actual != expected => {
                Err(StoreError::DigestMismatch { url: self.request.url.clone(), expected, actual })
            }
            _ => Ok(()),
        }
    }

    async fn prepare(&self, manifest: &Manifest) -> Result<PathBuf, StoreError> {
        let (inner, url, manifest) = (Arc::clone(self.inner), self.request.url.clone(), manifest.clone());
        blocking(move || partial::prepare(&inner.layout, &url, &manifest)).await
    }

    async fn make_room(&self, needed: u64) -> Result<(), StoreError> {
        // Others may have to go.
        let _told = self.inner.changes.at_the_end();
        let (inner, url) = (Arc::clone(self.inner), self.request.url.clone());
        blocking(move || room::make(&inner.layout, &url, needed, inner.config.max_bytes, &inner.free)).await
    }

    async fn check_model(&self, path: PathBuf, name: String) -> Result<(), StoreError> {
        let url = self.request.url.clone();
        blocking(move || match check::is_model(&path, &name) {
            Ok(()) => Ok(()),
            Err(check::Refusal::Gguf(error)) => Err(StoreError::NotAModel { url, error }),
            Err(check::Refusal::Unreadable(error)) => Err(failed("read of", &path)(error)),
        })
        .await
    }

    async fn fetch_file(
        &self,
        file: &SourceFile,
        path: PathBuf,
        meter: &mut Meter,
        resumed: &mut bool,
    ) -> Result<(clowder_core::source::Digest, u64), StoreError> {
        let (lock, opened, most) = (Arc::clone(&self.lock), path.clone(), file.size);
        let disk = |error| self.disk_failed(&path, file, error);
        let mut part = blocking(move || Part::open(opened, most, lock)).await.map_err(disk)?;
        *resumed |= part.length() > 0;
        let mut failures = Failures::new(&self.inner.config.retries);
        loop {
            let before = part.length();
            let error = match self.read(file, part, meter).await {
                Ok(whole) => return blocking(move || whole.finish()).await.map_err(disk),
                Err(Broken::Disk(error)) => return Err(disk(error)),
                Err(Broken::Source(broken, error)) => {
                    part = broken;
                    error
                }
            };
            if part.length() - before >= PROGRESS {
                failures.forget();
            }
            failures.wait(error).await?;
            if file.digest.is_none() && file.etag.is_none() && part.length() > 0 {
                // Nothing would tell that the rest is of the same version.
                meter.take_back(part.length());
                part = blocking(move || part.restarted()).await.map_err(disk)?;
            }
        }
    }

    /// Reads the rest of a file.
    async fn read(&self, file: &SourceFile, mut part: Part, meter: &mut Meter) -> Result<Part, Broken> {
        let end = file.size.unwrap_or(u64::MAX);
        if part.length() == end {
            return Ok(part);
        }
        let credentials = self.request.credentials.as_ref();
        let mut stream = match self.inner.source.read(file, part.length()..end, credentials).await {
            Ok(stream) => stream,
            Err(error) => return Err(Broken::Source(part, error)),
        };
        let mut batch: Vec<Bytes> = Vec::new();
        let mut looked_at = part.length();
        loop {
            let item = stream.next().await;
            let ended = !matches!(item, Some(Ok(_)));
            if let Some(Ok(chunk)) = &item {
                meter.add(chunk.len() as u64);
                self.inner.received.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                batch.push(chunk.clone());
            }
            if ended || batch.iter().map(Bytes::len).sum::<usize>() >= BATCH {
                let full = std::mem::take(&mut batch);
                part = blocking(move || part.append(full)).await.map_err(Broken::Disk)?;
            }
            if file.size.is_none() && part.length() - looked_at >= UNKNOWN {
                looked_at = part.length();
                if self.make_room(0).await.is_err() {
                    return Err(Broken::Disk(io::ErrorKind::StorageFull.into()));
                }
            }
            match item {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Broken::Source(part, error)),
                None => break,
            }
        }
        match file.size {
            Some(size) if part.length() < size => {
                let source = "it ended before all bytes were there".into();
                Err(Broken::Source(part, SourceError::Unreachable { what: file.name.clone(), source }))
            }
            Some(size) if part.length() > size => {
                Err(Broken::Source(part, SourceError::Changed { what: file.name.clone() }))
            }
            _ => Ok(part),
        }
    }

    /// What is written stays: once there is room, the fetch goes on from there.
    fn disk_failed(&self, path: &Path, file: &SourceFile, error: io::Error) -> StoreError {
        if !is_full(&error) {
            return failed("write of", path)(error);
        }
        let there = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        StoreError::NoSpace {
            url: self.request.url.clone(),
            needed: file.size.map_or(0, |size| size.saturating_sub(there)),
            free: (self.inner.free)(self.inner.layout.folder()).unwrap_or(0),
            folder: self.inner.layout.folder().to_owned(),
        }
    }
}
