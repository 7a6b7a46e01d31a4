//! The models that stay, whatever else needs the room: a list of URLs, replaced as a whole under the index's lock.

use super::error::failed;
use super::layout::{Layout, write_whole};
use super::{Cache, blocking, index};
use clowder_core::store::{MOST_PINS, StoreError};
use clowder_core::url::ModelUrl;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::{fs, io};

impl Cache {
    /// The models that stay once they are whole, whether they are here or not.
    ///
    /// # Errors
    /// [`StoreError::Cache`] where the folder cannot be read.
    pub async fn pins(&self) -> Result<BTreeSet<ModelUrl>, StoreError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || read(&inner.layout)).await
    }

    /// Pins these models and no others, durably, for all processes that share the folder.
    ///
    /// # Errors
    /// [`StoreError::TooManyPins`]; [`StoreError::Cache`] where the folder cannot be written.
    pub async fn set_pins(&self, urls: BTreeSet<ModelUrl>) -> Result<(), StoreError> {
        if urls.len() > MOST_PINS {
            return Err(StoreError::TooManyPins(urls.len()));
        }
        let _told = self.inner.changes.at_the_end();
        let inner = Arc::clone(&self.inner);
        blocking(move || write(&inner.layout, &urls)).await
    }
}

/// The pins as of now. A damaged list pins nothing: whoever keeps it sees that, and writes it anew.
pub(super) fn read(layout: &Layout) -> Result<BTreeSet<ModelUrl>, StoreError> {
    let path = layout.pins();
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(pins = %path.display(), %error, "the list of pinned models is damaged: nothing is pinned");
            BTreeSet::new()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(failed("read of", &path)(error)),
    }
}

fn write(layout: &Layout, urls: &BTreeSet<ModelUrl>) -> Result<(), StoreError> {
    // Whoever makes room has the lock, too: it sees the list as it was or as it is.
    let _lock = index::lock(layout)?;
    let bytes = serde_json::to_vec_pretty(urls)
        .map_err(|source| StoreError::Cache { what: "write of the pins".to_owned(), source: source.into() })?;
    write_whole(&layout.pins(), &bytes)
}
