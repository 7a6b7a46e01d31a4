//! Where things are in the cache's folder.
//!
//! ```text
//! oci-layout, index.json        the names, as any reader of OCI image layouts finds them
//! index.lock                    held while index.json is changed
//! blobs/sha256/HEX              manifests and model files, verified
//! models/HEX/NAME               the parts of a split model under the names that the engine looks for: links to blobs
//! partial/KEY/                  a fetch that is under way or broke off: model.json and N.part
//! partial/KEY.lock              held by the one who fetches
//! pins.json                     the URLs of the models that stay, whatever else needs the room
//! references/KEY.json           what is known of a file:// model, which stays where it is
//! ```
//! `KEY` is the SHA-256 of the URL, `HEX` that of the content.

use super::error::failed;
use clowder_core::source::Digest;
use clowder_core::store::StoreError;
use clowder_core::url::ModelUrl;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub(super) struct Layout {
    folder: PathBuf,
}

impl Layout {
    /// The folder, made where it is not there.
    pub(super) fn create(folder: &Path) -> Result<Self, StoreError> {
        let made = |path: PathBuf| fs::create_dir_all(&path).map_err(failed("creation of", &path)).map(|()| path);
        let folder = made(folder.to_owned())?;
        let folder = fs::canonicalize(&folder).map_err(failed("look-up of", &folder))?;
        let layout = Self { folder };
        for path in [layout.blobs(), layout.models(), layout.partials(), layout.references()] {
            made(path)?;
        }
        let marker = layout.folder.join("oci-layout");
        if !marker.exists() {
            write_whole(&marker, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        Ok(layout)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn index(&self) -> PathBuf {
        self.folder.join("index.json")
    }

    pub(super) fn index_lock(&self) -> PathBuf {
        self.folder.join("index.lock")
    }

    pub(super) fn pins(&self) -> PathBuf {
        self.folder.join("pins.json")
    }

    pub(super) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs/sha256")
    }

    pub(super) fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn models(&self) -> PathBuf {
        self.folder.join("models")
    }

    /// The folder of a split model's parts, by its manifest.
    pub(super) fn parts(&self, manifest: Digest) -> PathBuf {
        self.models().join(manifest.hex())
    }

    pub(super) fn partials(&self) -> PathBuf {
        self.folder.join("partial")
    }

    pub(super) fn partial(&self, url: &ModelUrl) -> PathBuf {
        self.partials().join(key(url))
    }

    pub(super) fn partial_lock(&self, url: &ModelUrl) -> PathBuf {
        self.partials().join(format!("{}.lock", key(url)))
    }

    pub(super) fn references(&self) -> PathBuf {
        self.folder.join("references")
    }

    pub(super) fn reference(&self, url: &ModelUrl) -> PathBuf {
        self.references().join(format!("{}.json", key(url)))
    }
}

fn key(url: &ModelUrl) -> String {
    Digest::from_bytes(Sha256::digest(url.to_string()).into()).hex()
}

/// Writes a file so that it is seen as it was or as it shall be, never in between, even after a power cut.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let failed = || failed("write of", path);
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let write = || {
        let mut file = File::create(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        sync_folder(path)
    };
    write().map_err(|error| {
        fs::remove_file(&aside).ok();
        failed()(error)
    })
}

/// Makes a rename last.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
