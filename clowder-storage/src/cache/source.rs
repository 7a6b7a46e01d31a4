//! The cache as a source: a model that is whole here can be read without asking where it came from.

use super::Cache;
use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::Credentials;
use clowder_core::source::{Digest, Manifest, ModelSource, SourceError, SourceFile};
use clowder_core::url::ModelUrl;
use futures::{StreamExt, TryStreamExt, stream};
use std::io::SeekFrom;
use std::ops::Range;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

const CHUNK: usize = 256 << 10;
/// Begins the locations of files that are read here.
const HERE: &str = "blob ";

/// Answers from the [`Cache`] for models that are whole in it and from the cache's own source for others, so that a
/// restart without a network finds its models.
#[derive(Clone)]
pub struct CachedSource {
    cache: Cache,
}

impl CachedSource {
    /// The source in front of a cache's own.
    pub fn new(cache: Cache) -> Self {
        Self { cache }
    }

    fn inner(&self) -> &dyn ModelSource {
        self.cache.source()
    }
}

#[async_trait]
impl ModelSource for CachedSource {
    fn serves(&self, url: &ModelUrl) -> bool {
        self.inner().serves(url)
    }

    async fn resolve(&self, url: &ModelUrl, credentials: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let unreachable = |error: clowder_core::store::StoreError| SourceError::Unreachable {
            what: url.to_string(),
            source: error.into(),
        };
        // What is on this machine anyhow is asked each time: another version of the program brings another model.
        let local = matches!(url, ModelUrl::Builtin(_) | ModelUrl::File(_));
        let entry = if local { None } else { self.cache.find(url).await.map_err(unreachable)? };
        let Some(entry) = entry.filter(|entry| entry.complete) else {
            return self.inner().resolve(url, credentials).await;
        };
        let files = entry.files.into_iter().map(|file| SourceFile {
            location: format!("{HERE}{}", file.digest),
            name: file.name,
            size: Some(file.size),
            digest: Some(file.digest),
            etag: Some(file.digest.to_string()),
        });
        Ok(Manifest { url: url.clone(), files: files.collect() })
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        credentials: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let Some(digest) = file.location.strip_prefix(HERE).and_then(|digest| digest.parse::<Digest>().ok()) else {
            return self.inner().read(file, range, credentials).await;
        };
        let what = file.name.clone();
        // Removed since it was resolved: resolving anew finds it at its own source.
        let opened = tokio::fs::File::open(self.cache.blob(digest)).await;
        let mut blob = opened.map_err(|_| SourceError::Changed { what: what.clone() })?;
        let failed = move |error: std::io::Error| SourceError::Unreachable { what: what.clone(), source: error.into() };
        let length = blob.metadata().await.map_err(&failed)?.len().min(range.end).saturating_sub(range.start);
        if length == 0 {
            return Ok(stream::empty().boxed());
        }
        blob.seek(SeekFrom::Start(range.start)).await.map_err(&failed)?;
        Ok(ReaderStream::with_capacity(blob.take(length), CHUNK).map_err(failed).boxed())
    }
}
