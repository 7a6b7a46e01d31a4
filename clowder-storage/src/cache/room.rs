//! Room for what is fetched: the disk's, and the limit given.

use super::error::failed;
use super::index::{self, Record};
use super::layout::Layout;
use super::lock::{Exclusive, Share};
use super::partial::{self, Sidecar};
use super::{pins, reference};
use clowder_core::store::{PinnedModels, StoreError};
use clowder_core::url::ModelUrl;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes free to this process in the file system of a folder.
pub(super) type FreeSpace = Arc<dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync>;

/// What the file system says.
pub(super) fn of_the_disk() -> FreeSpace {
    Arc::new(|folder| {
        let disk = rustix::fs::statvfs(folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    })
}

/// The fetches on disk: folder, what they fetch, bytes there, and whether somebody is at it.
pub(super) struct Fetch {
    pub(super) sidecar: Sidecar,
    pub(super) bytes: u64,
    pub(super) active: bool,
    started: SystemTime,
}

pub(super) fn fetches(layout: &Layout) -> Result<Vec<Fetch>, StoreError> {
    let folder = layout.partials();
    let mut fetches = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed("read of", &folder))?.flatten() {
        let Some(sidecar) = Sidecar::read(&entry.path()) else { continue };
        let started = entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let active = Exclusive::is_held(&layout.partial_lock(&sidecar.url));
        fetches.push(Fetch { bytes: partial::bytes(&entry.path()), sidecar, active, started });
    }
    Ok(fetches)
}

/// Sees to it that `needed` more bytes of `url` fit, under the limit and on the disk. Under a limit, fetches that broke
/// off go first, then the models that were not used for longest; what somebody uses stays, and what is pinned.
pub(super) fn make(
    layout: &Layout,
    url: &ModelUrl,
    needed: u64,
    limit: Option<u64>,
    free: &FreeSpace,
) -> Result<(), StoreError> {
    let no_space = |free| StoreError::NoSpace { url: url.clone(), needed, free, folder: layout.folder().to_owned() };
    if let Some(limit) = limit {
        let mut locked = index::lock(layout)?;
        let mut others: Vec<Fetch> = fetches(layout)?.into_iter().filter(|fetch| fetch.sidecar.url != *url).collect();
        others.sort_by_key(|fetch| fetch.started);
        let own = partial::bytes(&layout.partial(url));
        let reserved = |fetch: &Fetch| match fetch.active {
            true => fetch.sidecar.total().unwrap_or(fetch.bytes).max(fetch.bytes),
            false => fetch.bytes,
        };
        let mut fetching = others.iter().map(reserved).sum::<u64>() + own;
        let fits = |models: u64, fetching: u64| models.saturating_add(fetching).saturating_add(needed) <= limit;
        let mut idle = others.iter().filter(|fetch| !fetch.active);
        while !fits(locked.bytes(), fetching) {
            let Some(fetch) = idle.next() else { break };
            if discard(layout, &fetch.sidecar.url)? {
                fetching -= fetch.bytes;
            }
        }
        let pins = pins::read(layout)?;
        let others = locked.oldest_first().into_iter().filter(|record| record.url != *url);
        let (pinned, others): (Vec<Record>, Vec<Record>) = others.partition(|record| record.is_pinned(&pins));
        let mut oldest = others.into_iter();
        while !fits(locked.bytes(), fetching) {
            let Some(record) = oldest.next() else {
                let free = limit.saturating_sub(locked.bytes().saturating_add(fetching));
                // Those that somebody uses would stay without their pins, too.
                let idle = |record: &&Record| matches!(Share::sole(&layout.blob(record.manifest)), Ok(Some(_)));
                let idle: Vec<&Record> = pinned.iter().filter(idle).collect();
                let urls = idle.iter().map(|record| record.url.clone()).collect();
                let pinned = PinnedModels { bytes: idle.iter().map(|record| record.bytes()).sum(), urls };
                // Where they would not do either, they are not what is in the way.
                if free.saturating_add(pinned.bytes) < needed || pinned.urls.is_empty() {
                    return Err(no_space(free));
                }
                let (url, folder) = (url.clone(), layout.folder().to_owned());
                return Err(StoreError::FullOfPinned { url, needed, free, folder, pinned });
            };
            locked.remove(&record)?;
        }
    }
    let available = free(layout.folder()).map_err(failed("look-up of the free space of", layout.folder()))?;
    if available < needed { Err(no_space(available)) } else { Ok(()) }
}

/// Removes a fetch that broke off. `false` where somebody is at it.
pub(super) fn discard(layout: &Layout, url: &ModelUrl) -> Result<bool, StoreError> {
    let path = layout.partial_lock(url);
    let Some(_lock) = Exclusive::try_acquire(&path).map_err(failed("lock of", &path))? else {
        return Ok(false);
    };
    partial::discard(&layout.partial(url)).map(|()| true)
}

/// Removes all that is known and kept of a model that is not pinned.
pub(super) fn remove(layout: &Layout, url: &ModelUrl) -> Result<(), StoreError> {
    let in_use = || Err(StoreError::InUse { url: url.clone() });
    let mut locked = index::lock(layout)?;
    if pins::read(layout)?.contains(url) {
        return Err(StoreError::Pinned { url: url.clone() });
    }
    if let Some(record) = locked.find(url)
        && !locked.remove(&record)?
    {
        return in_use();
    }
    locked.drop_replaced()?;
    reference::forget(layout, url)?;
    if discard(layout, url)? { Ok(()) } else { in_use() }
}
