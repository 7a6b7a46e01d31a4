//! The names: which models are here, whole and verified.
//!
//! `index.json` alone says what is here. It is replaced as a whole under a lock, so readers need none; a model's manifest
//! carries its URL too, so that a damaged index can be made anew.

use super::error::failed;
use super::layout::{Layout, sync_folder, write_whole};
use super::lock::Share;
use super::oci::{Descriptor, EMPTY_CONFIG, Index, MANIFEST, Manifest, REF_NAME, StoredFile};
use clowder_core::source::Digest;
use clowder_core::store::StoreError;
use clowder_core::url::ModelUrl;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Larger blobs are no manifests.
const LARGEST_MANIFEST: u64 = 1 << 20;
/// Marks the entry of a model that was replaced while a worker still used it.
const REPLACED: &str = "io.github.aifoundry-org.clowder.replaced";

/// A model that is here.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) url: ModelUrl,
    pub(super) manifest: Digest,
    pub(super) files: Vec<StoredFile>,
    replaced: bool,
}

impl Record {
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The file a worker opens. The parts of a split model are found by their names, a single file by its digest.
    pub(super) fn path(&self, layout: &Layout) -> PathBuf {
        match self.files.as_slice() {
            [file] => layout.blob(file.digest),
            files => layout.parts(self.manifest).join(files.first().map_or("model", |file| file.name.as_str())),
        }
    }

    /// Whether it stays for one of these: what took its place does instead of it.
    pub(super) fn is_pinned(&self, pins: &BTreeSet<ModelUrl>) -> bool {
        !self.replaced && pins.contains(&self.url)
    }

    /// When it was last used.
    pub(super) fn last_used(&self, layout: &Layout) -> SystemTime {
        let modified = fs::metadata(layout.blob(self.manifest)).and_then(|metadata| metadata.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// A verified file about to become a blob.
pub(super) struct Verified {
    pub(super) file: StoredFile,
    /// Where its bytes are now; where there is nothing, the blob must be there already.
    pub(super) part: PathBuf,
}

/// The index, its lock held.
pub(super) struct Locked<'a> {
    layout: &'a Layout,
    index: Index,
    _lock: File,
}

/// The models here, as of now. Those whose blobs are missing or short are not.
pub(super) fn records(layout: &Layout) -> Result<Vec<Record>, StoreError> {
    let index = match read(layout)? {
        Some(index) => index,
        None => lock(layout)?.index,
    };
    Ok(present(layout, &index).into_iter().filter(|record| !record.replaced).collect())
}

/// The index for changing it. A damaged one is put aside and made anew from the manifests.
pub(super) fn lock(layout: &Layout) -> Result<Locked<'_>, StoreError> {
    let path = layout.index_lock();
    let lock =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(failed("lock of", &path))?;
    lock.lock().map_err(failed("lock of", &path))?;
    if let Some(index) = read(layout)? {
        return Ok(Locked { layout, index, _lock: lock });
    }
    let path = layout.index();
    if path.exists() {
        let aside = path.with_extension("json.damaged");
        tracing::warn!(index = %path.display(), aside = %aside.display(), "the cache's index is damaged: making it anew");
        fs::rename(&path, &aside).map_err(failed("rename of", &path))?;
    }
    let config = layout.blob(Digest::from_bytes(Sha256::digest(EMPTY_CONFIG).into()));
    if !config.exists() {
        write_whole(&config, EMPTY_CONFIG)?;
    }
    let mut locked = Locked { layout, index: Index::default(), _lock: lock };
    locked.recover()?;
    locked.save()?;
    Ok(locked)
}

/// `None` where there is none, or no readable one.
fn read(layout: &Layout) -> Result<Option<Index>, StoreError> {
    let path = layout.index();
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read of", &path)(error)),
    }
}

fn present(layout: &Layout, index: &Index) -> Vec<Record> {
    entered(layout, index).filter(|record| is_whole(layout, record)).collect()
}

/// The models of the index, whether their blobs are there or not.
fn entered<'a>(layout: &'a Layout, index: &'a Index) -> impl Iterator<Item = Record> + 'a {
    index.manifests.iter().filter_map(|entry| record(layout, entry))
}

fn record(layout: &Layout, entry: &Descriptor) -> Option<Record> {
    let (name, replaced) = match (entry.name(), entry.annotations.get(REPLACED)) {
        (Some(name), _) => (name, false),
        (None, Some(name)) => (name.as_str(), true),
        (None, None) => return None,
    };
    let manifest = entry.digest.parse().ok()?;
    let files = read_manifest(&layout.blob(manifest))?.files()?;
    Some(Record { url: name.parse().ok()?, manifest, files, replaced })
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    let small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST_MANIFEST);
    serde_json::from_slice(&small.then(|| fs::read(path).ok())??).ok()
}

fn is_whole(layout: &Layout, record: &Record) -> bool {
    record.files.iter().all(|file| fs::metadata(layout.blob(file.digest)).is_ok_and(|blob| blob.len() == file.size))
}

impl Locked<'_> {
    /// All models, those that were replaced too, the longest unused first.
    pub(super) fn oldest_first(&self) -> Vec<Record> {
        let mut records = present(self.layout, &self.index);
        records.sort_by_cached_key(|record| (!record.replaced, record.last_used(self.layout)));
        records
    }

    /// The model of that URL, even where its blobs are not whole.
    pub(super) fn find(&self, url: &ModelUrl) -> Option<Record> {
        entered(self.layout, &self.index).find(|record| record.url == *url && !record.replaced)
    }

    /// Bytes of all model files, each blob counted once.
    pub(super) fn bytes(&self) -> u64 {
        let records = present(self.layout, &self.index);
        let files: BTreeSet<(Digest, u64)> =
            records.iter().flat_map(|record| &record.files).map(|file| (file.digest, file.size)).collect();
        files.into_iter().map(|(_, size)| size).sum()
    }

    /// Gives verified files their final names, and the model its own.
    pub(super) fn commit(&mut self, url: &ModelUrl, files: Vec<Verified>) -> Result<(Record, Share), StoreError> {
        for Verified { file, part } in &files {
            let blob = self.layout.blob(file.digest);
            if part.exists() {
                fs::rename(part, &blob).and_then(|()| sync_folder(&blob)).map_err(failed("rename to", &blob))?;
            }
        }
        let files: Vec<StoredFile> = files.into_iter().map(|verified| verified.file).collect();
        let manifest = Manifest::of_model(&url.to_string(), &files);
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|source| StoreError::Cache { what: "write of a manifest".to_owned(), source: source.into() })?;
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let record = Record { url: url.clone(), manifest: digest, files, replaced: false };
        if !is_whole(self.layout, &record) {
            let gone = io::Error::new(io::ErrorKind::NotFound, "a blob that was there was removed meanwhile");
            return Err(failed("completion of", &self.layout.blobs())(gone));
        }
        let path = self.layout.blob(digest);
        if !path.exists() {
            write_whole(&path, &bytes)?;
        }
        self.link_parts(&record)?;
        let share = Share::acquire(&path).map_err(failed("lock of", &path))?;
        let share = share.ok_or_else(|| failed("lock of", &path)(io::ErrorKind::NotFound.into()))?;
        let name = url.to_string();
        self.index.manifests.retain(|entry| entry.digest != digest.to_string());
        for entry in self.index.manifests.iter_mut().filter(|entry| entry.name() == Some(name.as_str())) {
            entry.annotations.remove(REF_NAME);
            entry.annotations.insert(REPLACED.to_owned(), name.clone());
        }
        let entry = Descriptor::new(MANIFEST, digest, bytes.len() as u64).annotated(REF_NAME, name);
        self.index.manifests.push(entry);
        self.save()?;
        self.drop_replaced()?;
        Ok((record, share))
    }

    /// Removes a model and those of its blobs that no other has. `false` where somebody uses it.
    pub(super) fn remove(&mut self, record: &Record) -> Result<bool, StoreError> {
        let manifest = self.layout.blob(record.manifest);
        let Some(_sole) = Share::sole(&manifest).map_err(failed("lock of", &manifest))? else {
            return Ok(false);
        };
        self.index.manifests.retain(|entry| entry.digest != record.manifest.to_string());
        self.save()?;
        let kept = self.referenced();
        let parts = self.layout.parts(record.manifest);
        match fs::remove_dir_all(&parts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("removal of", &parts)(error)),
            _ => {}
        }
        let digests = record.files.iter().map(|file| file.digest).chain([record.manifest]);
        for digest in digests.collect::<BTreeSet<_>>().into_iter().filter(|digest| !kept.contains(&digest.to_string()))
        {
            let blob = self.layout.blob(digest);
            match fs::remove_file(&blob) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("removal of", &blob)(error));
                }
                _ => {}
            }
        }
        tracing::info!(url = %record.url, bytes = record.bytes(), "removed a model");
        Ok(true)
    }

    /// Removes the models that were replaced and that nobody uses any more.
    pub(super) fn drop_replaced(&mut self) -> Result<(), StoreError> {
        let replaced: Vec<_> = entered(self.layout, &self.index).filter(|record| record.replaced).collect();
        for record in replaced {
            self.remove(&record)?;
        }
        Ok(())
    }

    /// Every blob that an entry leads to, those of other tools included.
    fn referenced(&self) -> BTreeSet<String> {
        let mut digests = BTreeSet::new();
        for entry in &self.index.manifests {
            digests.insert(entry.digest.clone());
            let manifest = entry.digest.parse().ok().and_then(|digest| read_manifest(&self.layout.blob(digest)));
            if let Some(manifest) = manifest {
                digests.extend(manifest.layers.into_iter().chain([manifest.config]).map(|blob| blob.digest));
            }
        }
        digests
    }

    fn link_parts(&self, record: &Record) -> Result<(), StoreError> {
        if record.files.len() < 2 {
            return Ok(());
        }
        let folder = self.layout.parts(record.manifest);
        fs::create_dir_all(&folder).map_err(failed("creation of", &folder))?;
        for file in &record.files {
            let link = folder.join(&file.name);
            // Relative, so that the folder may be mounted elsewhere.
            let target = Path::new("../../blobs/sha256").join(file.digest.hex());
            match std::os::unix::fs::symlink(target, &link) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed("creation of", &link)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Enters every model whose manifest is among the blobs, the newest of each URL.
    fn recover(&mut self) -> Result<(), StoreError> {
        let folder = self.layout.blobs();
        let mut found = Vec::new();
        for blob in fs::read_dir(&folder).map_err(failed("read of", &folder))?.flatten() {
            let digest = blob.file_name().to_str().and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            let manifest = digest.zip(read_manifest(&blob.path()));
            let Some((digest, manifest)) = manifest.filter(|(_, manifest)| manifest.files().is_some()) else {
                continue;
            };
            let Some(name) = manifest.annotations.get(REF_NAME) else { continue };
            let metadata = blob.metadata().map_err(failed("read of", &folder))?;
            let entry = Descriptor::new(MANIFEST, digest, metadata.len()).annotated(REF_NAME, name);
            found.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry));
        }
        found.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
        let mut names = BTreeSet::new();
        found.retain(|(_, entry)| names.insert(entry.name().map(str::to_owned)));
        self.index.manifests.extend(found.into_iter().map(|(_, entry)| entry));
        Ok(())
    }

    fn save(&self) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec_pretty(&self.index)
            .map_err(|source| StoreError::Cache { what: "write of the index".to_owned(), source: source.into() })?;
        write_whole(&self.layout.index(), &bytes)
    }
}
