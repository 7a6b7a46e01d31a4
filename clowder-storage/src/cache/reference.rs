//! `file://` models. They are used where they are: a copy would take as much disk again, and time before the first token.
//! What is remembered is the digest, as long as size, time of change and inode stay; they are never evicted or deleted.

use super::error::failed;
use super::layout::{Layout, write_whole};
use clowder_core::source::Digest;
use clowder_core::store::StoreError;
use clowder_core::url::ModelUrl;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::PathBuf;

/// A model of this machine, as it was when it was hashed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) url: ModelUrl,
    pub(super) path: PathBuf,
    /// The digest of the file a worker opens.
    pub(super) digest: Digest,
    /// Bytes of all its files.
    pub(super) bytes: u64,
    /// The marks of all its files.
    pub(super) etags: Vec<Option<String>>,
}

pub(super) fn find(layout: &Layout, url: &ModelUrl) -> Option<Reference> {
    serde_json::from_slice(&fs::read(layout.reference(url)).ok()?).ok()
}

/// All that still have a file.
pub(super) fn all(layout: &Layout) -> Result<Vec<Reference>, StoreError> {
    let folder = layout.references();
    let entries = fs::read_dir(&folder).map_err(failed("read of", &folder))?.flatten();
    let read = entries.filter_map(|entry| serde_json::from_slice::<Reference>(&fs::read(entry.path()).ok()?).ok());
    Ok(read.filter(|reference| reference.path.is_file()).collect())
}

pub(super) fn remember(layout: &Layout, reference: &Reference) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(reference)
        .map_err(|source| StoreError::Cache { what: "write of a reference".to_owned(), source: source.into() })?;
    write_whole(&layout.reference(&reference.url), &bytes)
}

pub(super) fn forget(layout: &Layout, url: &ModelUrl) -> Result<(), StoreError> {
    let path = layout.reference(url);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removal of", &path)(error)),
        _ => Ok(()),
    }
}
