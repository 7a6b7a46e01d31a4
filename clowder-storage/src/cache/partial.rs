//! A fetch on disk: the parts that are there, and of which version of their files they are.

use super::error::failed;
use super::layout::{Layout, write_whole};
use super::lock::Exclusive;
use bytes::Bytes;
use clowder_core::source::{Digest, Manifest, SourceFile};
use clowder_core::store::StoreError;
use clowder_core::url::ModelUrl;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a fetch fetches, beside its parts as `model.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub(super) url: ModelUrl,
    pub(super) files: Vec<Version>,
}

/// One version of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    name: String,
    size: Option<u64>,
    digest: Option<Digest>,
    etag: Option<String>,
}

impl Version {
    fn of(file: &SourceFile) -> Self {
        let SourceFile { name, size, digest, etag, .. } = file.clone();
        Self { name, size, digest, etag }
    }

    /// Whether bytes of the one go on where bytes of the other ended. What has no mark is never known to be the same.
    fn continues(&self, other: &Self) -> bool {
        match (self.digest, other.digest) {
            (Some(digest), Some(before)) => digest == before,
            _ => self.etag.is_some() && self.etag == other.etag && self.size == other.size,
        }
    }
}

impl Sidecar {
    /// `None` where there is none, or none that can be read: then nothing is known of the parts either.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join("model.json")).ok()?).ok()
    }

    /// Bytes in all, where all sources said.
    pub(super) fn total(&self) -> Option<u64> {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// The path of a file's bytes within a fetch's folder.
pub(super) fn part(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.part"))
}

/// Bytes of a fetch that are on disk.
pub(super) fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let parts = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "part"));
    parts.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// The folder of a fetch of this manifest. Parts that are of another version of their files go.
pub(super) fn prepare(layout: &Layout, url: &ModelUrl, manifest: &Manifest) -> Result<PathBuf, StoreError> {
    let folder = layout.partial(url);
    let sidecar = Sidecar { url: url.clone(), files: manifest.files.iter().map(Version::of).collect() };
    let before = Sidecar::read(&folder);
    if before.as_ref() == Some(&sidecar) && sidecar.files.iter().all(|file| file.continues(file)) {
        return Ok(folder);
    }
    let versions = before.map(|before| before.files).unwrap_or_default();
    let kept = |number: usize| match (versions.get(number), sidecar.files.get(number)) {
        (Some(before), Some(now)) => now.continues(before),
        _ => false,
    };
    fs::create_dir_all(&folder).map_err(failed("creation of", &folder))?;
    for number in (0..versions.len().max(sidecar.files.len())).filter(|number| !kept(*number)) {
        let path = part(&folder, number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("removal of", &path)(error)),
            _ => {}
        }
    }
    let bytes = serde_json::to_vec(&sidecar)
        .map_err(|source| StoreError::Cache { what: "write of a fetch's state".to_owned(), source: source.into() })?;
    write_whole(&folder.join("model.json"), &bytes)?;
    Ok(folder)
}

/// Removes a fetch that nobody is at.
pub(super) fn discard(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removal of", folder)(error)),
        _ => Ok(()),
    }
}

/// A part being written and hashed. It holds the fetch's lock: a write that outlives its caller keeps others away.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    length: u64,
    _lock: Arc<Exclusive>,
}

impl Part {
    /// Opens a part, hashing what is there already; more than `most` bytes cannot be of this file.
    pub(super) fn open(path: PathBuf, most: Option<u64>, lock: Arc<Exclusive>) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
        let there = file.metadata()?.len();
        let mut bytes = file.try_clone()?.take(there);
        let mut part = Self { path, file, hasher: Sha256::new(), length: 0, _lock: lock };
        if most.is_some_and(|most| there > most) {
            return part.restarted();
        }
        let mut buffer = vec![0; 1 << 20];
        loop {
            match bytes.read(&mut buffer)? {
                0 => return Ok(part),
                read => {
                    part.hasher.update(&buffer[..read]);
                    part.length += read as u64;
                }
            }
        }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// More bytes, at the end.
    pub(super) fn append(mut self, chunks: Vec<Bytes>) -> io::Result<Self> {
        for chunk in chunks {
            self.file.write_all(&chunk)?;
            self.hasher.update(&chunk);
            self.length += chunk.len() as u64;
        }
        Ok(self)
    }

    /// Without a byte again.
    pub(super) fn restarted(self) -> io::Result<Self> {
        // A new file: what may still be written to the old one is not seen.
        drop(self.file);
        fs::remove_file(&self.path)?;
        let file = File::options().create_new(true).read(true).write(true).open(&self.path)?;
        Ok(Self { file, hasher: Sha256::new(), length: 0, ..self })
    }

    /// On disk, and its digest.
    pub(super) fn finish(self) -> io::Result<(Digest, u64)> {
        self.file.sync_all()?;
        Ok((Digest::from_bytes(self.hasher.finalize().into()), self.length))
    }
}
