#![doc = include_str!("../README.md")]

use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::secret::Credentials;
use clowder_core::source::{Manifest, SourceError, SourceFile};
use clowder_core::{BoxStream, ModelSource, ModelUrl};
use futures::StreamExt;
use std::fs::Metadata;
use std::io::{self, ErrorKind, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

const SCHEME: &str = "shelf";

/// Models in a folder, as `shelf:PATH` with a path below it.
#[derive(Clone, Debug)]
pub struct ShelfSource {
    folder: PathBuf,
}

impl ShelfSource {
    /// A source of the models in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The file that a URL names. Links are followed first, so what is compared with the folder is where the file is.
    async fn locate(&self, url: &ModelUrl) -> Result<PathBuf, SourceError> {
        let ModelUrl::Other { scheme, rest } = url else {
            return Err(unsupported(url));
        };
        if scheme != SCHEME {
            return Err(unsupported(url));
        }
        let what = || url.to_string();
        let folder = tokio::fs::canonicalize(&self.folder).await.map_err(|error| failed(what(), error))?;
        let path = tokio::fs::canonicalize(folder.join(rest)).await.map_err(|error| failed(what(), error))?;
        if path.starts_with(&folder) { Ok(path) } else { Err(SourceError::NotFound { what: what() }) }
    }
}

#[async_trait]
impl ModelSource for ShelfSource {
    fn serves(&self, url: &ModelUrl) -> bool {
        url.scheme() == SCHEME
    }

    async fn resolve(&self, url: &ModelUrl, _: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let path = self.locate(url).await?;
        let metadata = tokio::fs::metadata(&path).await.map_err(|error| failed(url.to_string(), error))?;
        if !metadata.is_file() {
            return Err(SourceError::NotFound { what: url.to_string() });
        }
        let file = SourceFile {
            name: url.file_name(),
            location: url.to_string(),
            size: Some(metadata.len()),
            digest: None,
            etag: Some(etag(&metadata)),
        };
        Ok(Manifest { url: url.clone(), files: vec![file] })
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        _: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let what = file.location.clone();
        let url: ModelUrl = what.parse().map_err(|_| SourceError::NotFound { what: what.clone() })?;
        let path = self.locate(&url).await?;
        let mut opened = File::open(&path).await.map_err(|error| failed(what.clone(), error))?;
        let metadata = opened.metadata().await.map_err(|error| failed(what.clone(), error))?;
        if file.etag.as_deref().is_some_and(|resolved| resolved != etag(&metadata)) {
            return Err(SourceError::Changed { what });
        }
        opened.seek(SeekFrom::Start(range.start)).await.map_err(|error| failed(what.clone(), error))?;
        let part = opened.take(range.end.saturating_sub(range.start));
        let chunks = ReaderStream::new(part);
        Ok(chunks.map(move |chunk| chunk.map_err(|error| failed(what.clone(), error))).boxed())
    }
}

/// Marks a version of a file: its size, and when it was written.
fn etag(metadata: &Metadata) -> String {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    format!("{}-{}", metadata.len(), modified.unwrap_or_default().as_nanos())
}

fn unsupported(url: &ModelUrl) -> SourceError {
    SourceError::Unsupported { scheme: url.scheme().to_owned() }
}

/// Says by condition what went wrong, so that its reader knows whether to try again.
fn failed(what: String, error: io::Error) -> SourceError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => SourceError::NotFound { what },
        ErrorKind::PermissionDenied => SourceError::Denied { what, hint: "let this process read the file".to_owned() },
        _ => SourceError::Unreachable { what, source: error.into() },
    }
}
