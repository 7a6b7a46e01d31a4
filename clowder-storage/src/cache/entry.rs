//! What the cache tells about itself.

use super::oci::StoredFile;
use clowder_core::source::Digest;
use clowder_core::store::CachedModel;
use clowder_core::url::ModelUrl;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// A model in the cache, or on the way into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Where it came from.
    pub url: ModelUrl,
    /// Whether it is whole and verified.
    pub complete: bool,
    /// The file a worker opens, once complete.
    pub path: Option<PathBuf>,
    /// That file's digest, once complete.
    pub digest: Option<Digest>,
    /// Bytes on this machine.
    pub bytes: u64,
    /// Bytes in all, where known.
    pub total: Option<u64>,
    /// Bytes per second of a fetch of this process, over the last seconds.
    pub rate: u64,
    /// Its files, once complete. Empty for a model that stays in place.
    pub files: Vec<StoredFile>,
    /// Whether somebody uses or fetches it.
    pub in_use: bool,
    /// Whether it is a `file://` model, used where it is: it takes nothing of the cache's room.
    pub in_place: bool,
    /// Whether it stays once it is whole, whatever else needs the room.
    pub pinned: bool,
    /// When it was last used, in seconds of Unix time.
    pub last_used: Option<u64>,
}

impl From<Entry> for CachedModel {
    fn from(entry: Entry) -> Self {
        let Entry { url, digest, bytes, complete, pinned, .. } = entry;
        Self { url, digest, bytes, complete, pinned }
    }
}

/// What the cache takes of the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes of whole models, what several share counted once.
    pub models: u64,
    /// Bytes of fetches under way or broken off.
    pub partial: u64,
    /// The most that both may take, where it is limited.
    pub limit: Option<u64>,
    /// Bytes free on the disk.
    pub free: u64,
}

/// What this process has done since it opened the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Bytes taken from sources.
    pub received: u64,
    /// Models being fetched now.
    pub fetching: u64,
    /// Fetches that completed.
    pub fetched: u64,
    /// Fetches that failed.
    pub failed: u64,
}

pub(super) fn unix_seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}
