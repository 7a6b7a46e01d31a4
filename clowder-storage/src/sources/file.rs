//! `file:///PATH`: files of this machine.

use super::split;
use async_trait::async_trait;
use bytes::Bytes;
use clowder_core::BoxStream;
use clowder_core::secret::Credentials;
use clowder_core::source::{Manifest, ModelSource, SourceError, SourceFile};
use clowder_core::url::ModelUrl;
use futures::{StreamExt, TryStreamExt, stream};
use std::fs::Metadata;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

const CHUNK: usize = 256 << 10;

/// Files by absolute path. The mark of a version is its size, time of change and inode.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSource;

#[async_trait]
impl ModelSource for FileSource {
    fn serves(&self, url: &ModelUrl) -> bool {
        matches!(url, ModelUrl::File(_))
    }

    async fn resolve(&self, url: &ModelUrl, _: Option<&Credentials>) -> Result<Manifest, SourceError> {
        let ModelUrl::File(path) = url else {
            return Err(SourceError::Unsupported { scheme: url.scheme().to_owned() });
        };
        let path = Path::new(path);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut files = Vec::new();
        for name in split::all_of(&name) {
            files.push(describe(&path.with_file_name(&name), name).await?);
        }
        Ok(Manifest { url: url.clone(), files })
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        _: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        let location = file.location.clone();
        let failed = |error| refused(&location, error);
        let mut opened = tokio::fs::File::open(&location).await.map_err(failed)?;
        let metadata = opened.metadata().await.map_err(failed)?;
        if file.etag.as_ref().is_some_and(|etag| *etag != mark(&metadata)) {
            return Err(SourceError::Changed { what: location });
        }
        let end = range.end.min(metadata.len());
        let Some(length) = end.checked_sub(range.start).filter(|length| *length > 0) else {
            return Ok(stream::empty().boxed());
        };
        opened.seek(SeekFrom::Start(range.start)).await.map_err(failed)?;
        let bytes = ReaderStream::with_capacity(opened.take(length), CHUNK);
        Ok(bytes.map_err(move |error| refused(&location, error)).boxed())
    }
}

async fn describe(path: &Path, name: String) -> Result<SourceFile, SourceError> {
    let location = path.to_string_lossy().into_owned();
    let metadata = tokio::fs::metadata(path).await.map_err(|error| refused(&location, error))?;
    if !metadata.is_file() {
        return Err(SourceError::NotFound {
            what: format!("{location} is no regular file: a model file of that name"),
        });
    }
    // Opening tells whether it may be read; its mode alone does not.
    tokio::fs::File::open(path).await.map_err(|error| refused(&location, error))?;
    Ok(SourceFile { name, location, size: Some(metadata.len()), digest: None, etag: Some(mark(&metadata)) })
}

/// Another mark, other bytes.
fn mark(metadata: &Metadata) -> String {
    format!("{}-{}-{}-{}", metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino())
}

fn refused(location: &str, error: io::Error) -> SourceError {
    let what = location.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::NotFound { what },
        io::ErrorKind::PermissionDenied => {
            SourceError::Denied { what, hint: "let the user that Clowder runs as read it".to_owned() }
        }
        _ => SourceError::Unreachable { what, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(path: &Path) -> ModelUrl {
        ModelUrl::File(path.to_string_lossy().into_owned())
    }

    #[tokio::test]
    async fn a_split_file_is_all_its_parts_the_first_first() {
        let folder = tempfile::tempdir().unwrap();
        for part in 1..=2 {
            std::fs::write(folder.path().join(format!("m-0000{part}-of-00002.gguf")), "x").unwrap();
        }
        let manifest = FileSource.resolve(&url(&folder.path().join("m-00002-of-00002.gguf")), None).await.unwrap();
        let names: Vec<_> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        std::fs::remove_file(folder.path().join("m-00001-of-00002.gguf")).unwrap();
        let missing = FileSource.resolve(&url(&folder.path().join("m-00002-of-00002.gguf")), None).await.unwrap_err();
        assert!(matches!(missing, SourceError::NotFound { what } if what.ends_with("m-00001-of-00002.gguf")));
    }

    #[tokio::test]
    async fn a_folder_is_no_model_and_a_rewritten_file_is_another() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(FileSource.resolve(&url(folder.path()), None).await, Err(SourceError::NotFound { .. })));
        let path = folder.path().join("m.gguf");
        std::fs::write(&path, "before").unwrap();
        let file = FileSource.resolve(&url(&path), None).await.unwrap().files.remove(0);
        std::fs::write(&path, "afterwards").unwrap();
        assert!(matches!(FileSource.read(&file, 0..4, None).await, Err(SourceError::Changed { .. })));
    }
}
