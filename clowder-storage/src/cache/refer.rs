//! Using a `file://` model where it is.

use super::flight::relay;
use super::meter::Meter;
use super::reference::{self, Reference};
use super::{Cache, blocking, check, error::failed};
use clowder_core::source::{Digest, Manifest, SourceError};
use clowder_core::store::{FetchProgress, FetchRequest, Lease, StoreError, StoredModel};
use clowder_core::url::ModelUrl;
use futures::TryStreamExt;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

impl Cache {
    /// The file as it is now; hashed where it was not, or is no longer what it was.
    pub(super) async fn refer(
        &self,
        request: &FetchRequest,
        progress: &watch::Sender<FetchProgress>,
    ) -> Result<StoredModel, StoreError> {
        let url = &request.url;
        let manifest = self.source().resolve(url, request.credentials.as_ref()).await?;
        let reference = match self.remembered(&manifest).await {
            Some(reference) => reference,
            None => {
                let _told = self.inner.changes.at_the_end();
                let ticket = self.inner.flights.join(url);
                let turn = ticket.turn(request, progress).await?;
                match self.remembered(&manifest).await {
                    Some(reference) => reference,
                    None => {
                        let hashed = relay(&turn.progress, progress, self.hash(&manifest, &turn.progress)).await;
                        hashed.map_err(|error| turn.fail(request, error))?
                    }
                }
            }
        };
        if let Some(expected) = request.digest.filter(|expected| *expected != reference.digest) {
            return Err(StoreError::DigestMismatch { url: url.clone(), expected, actual: reference.digest });
        }
        let Reference { path, digest, bytes, .. } = reference;
        progress.send_replace(FetchProgress { bytes, total: Some(bytes), rate: 0 });
        Ok(StoredModel { path, digest, bytes, lease: Lease::new(()), hold: None })
    }

    async fn remembered(&self, manifest: &Manifest) -> Option<Reference> {
        let (inner, url) = (Arc::clone(&self.inner), manifest.url.clone());
        let reference = blocking(move || reference::find(&inner.layout, &url)).await?;
        let etags: Vec<_> = manifest.files.iter().map(|file| file.etag.clone()).collect();
        // What bears no mark may have changed.
        (etags.iter().all(Option::is_some) && reference.etags == etags).then_some(reference)
    }

    async fn hash(
        &self,
        manifest: &Manifest,
        progress: &watch::Sender<FetchProgress>,
    ) -> Result<Reference, StoreError> {
        let url = &manifest.url;
        let missing = || SourceError::NotFound { what: url.to_string() };
        let (ModelUrl::File(path), Some(main)) = (url, manifest.main()) else { return Err(missing().into()) };
        let path = Path::new(path).with_file_name(&main.name);
        let (checked, name) = (path.clone(), main.name.clone());
        blocking(move || check::is_model(&checked, &name)).await.map_err(|refusal| match refusal {
            check::Refusal::Gguf(error) => StoreError::NotAModel { url: url.clone(), error },
            check::Refusal::Unreadable(error) => failed("read of", &path)(error),
        })?;
        let mut meter = Meter::new(progress.clone(), 0, main.size);
        let mut bytes = self.source().read(main, 0..u64::MAX, None).await?;
        let mut hasher = Sha256::new();
        let mut hashed = 0;
        while let Some(chunk) = bytes.try_next().await? {
            meter.add(chunk.len() as u64);
            hashed += chunk.len() as u64;
            hasher = blocking(move || hasher.chain_update(&chunk)).await;
        }
        // Reading begins with a look at the mark; this one is that it did not change since.
        let after = self.source().resolve(url, None).await?;
        if after != *manifest || main.size.is_some_and(|size| size != hashed) {
            return Err(SourceError::Changed { what: url.to_string() }.into());
        }
        let reference = Reference {
            url: url.clone(),
            digest: Digest::from_bytes(hasher.finalize().into()),
            bytes: manifest.files.iter().filter_map(|file| file.size).sum(),
            etags: manifest.files.iter().map(|file| file.etag.clone()).collect(),
            path,
        };
        let (inner, remembered) = (Arc::clone(&self.inner), reference.clone());
        blocking(move || reference::remember(&inner.layout, &remembered)).await?;
        Ok(reference)
    }
}
