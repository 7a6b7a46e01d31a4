//! For [`ModelSource`]: an in-memory one, and the suite.

use crate::BoxStream;
use crate::secret::Credentials;
use crate::source::{Manifest, ModelSource, SourceError, SourceFile};
use crate::url::ModelUrl;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::ops::Range;

/// A source of given bytes.
#[derive(Default)]
pub struct InMemorySource(BTreeMap<ModelUrl, Bytes>);

impl InMemorySource {
    /// A source of these models.
    pub fn new(models: impl IntoIterator<Item = (ModelUrl, Vec<u8>)>) -> Self {
        Self(models.into_iter().map(|(url, bytes)| (url, Bytes::from(bytes))).collect())
    }

    fn find(&self, url: &ModelUrl) -> Result<&Bytes, SourceError> {
        self.0.get(url).ok_or_else(|| SourceError::NotFound { what: url.to_string() })
    }
}

#[async_trait]
impl ModelSource for InMemorySource {
    fn serves(&self, url: &ModelUrl) -> bool {
        self.0.contains_key(url)
    }

    async fn resolve(&self, url: &ModelUrl, _: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let bytes = self.find(url)?;
        let file = SourceFile {
            name: url.file_name(),
            location: url.to_string(),
            size: Some(bytes.len() as u64),
            digest: None,
            etag: None,
        };
        Ok(Manifest { url: url.clone(), files: vec![file] })
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        _: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let url = file.location.parse().map_err(|_| SourceError::NotFound { what: file.location.clone() })?;
        let bytes = self.find(&url)?.clone();
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let part = bytes.slice(at(range.start)..at(range.end.max(range.start)));
        Ok(futures::stream::iter([Ok(part)]).boxed())
    }
}

/// The suite: `url` is of a one-file model with these bytes, `absent` of one that the source would serve but has not.
///
/// # Panics
/// Where the source does not keep to the trait's word.
pub async fn conformance(source: &dyn ModelSource, url: &ModelUrl, bytes: &[u8], absent: Option<&ModelUrl>) {
    assert!(source.serves(url), "serves {url}");
    let manifest = source.resolve(url, None).await.expect("a manifest");
    assert_eq!(manifest.url, *url);
    let file = manifest.main().expect("a file").clone();
    assert!(!file.name.is_empty() && !file.name.contains(['/', '\\']) && file.name != "..", "{:?}", file.name);
    if let Some(size) = file.size {
        assert_eq!(size, bytes.len() as u64, "the size it says");
    }
    assert_eq!(source.resolve(url, None).await.expect("again"), manifest, "resolving twice gives the same");

    let length = bytes.len() as u64;
    for range in [0..length, 0..1, length / 2..length, 1..length / 3, length - 1..length + 100, length..length + 1] {
        let read = source.read(&file, range.clone(), None).await;
        let read: Vec<u8> = match read {
            Ok(stream) => stream.map_ok(|chunk| chunk.to_vec()).try_concat().await.expect("an unbroken stream"),
            Err(error) => panic!("{range:?}: {error}"),
        };
        let at = |offset: u64| usize::try_from(offset.min(length)).expect("a small file");
        assert!(read == bytes[at(range.start)..at(range.end)], "{range:?} gives those bytes, and no more");
    }
    if let Some(absent) = absent {
        let missing = source.resolve(absent, None).await;
        assert!(matches!(missing, Err(SourceError::NotFound { .. })), "{missing:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_memory_conforms() {
        let url: ModelUrl = "builtin:m".parse().unwrap();
        let bytes = super::super::tiny_gguf(1);
        let source = InMemorySource::new([(url.clone(), bytes.clone())]);
        conformance(&source, &url, &bytes, Some(&"builtin:other".parse().unwrap())).await;
    }
}
