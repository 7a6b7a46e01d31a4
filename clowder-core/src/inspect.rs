//! What a model, or an adapter of one, is, learnt from its source without fetching it.

use crate::gguf::{GgufError, GgufFacts, Header, MAX_HEADER};
use crate::secret::Credentials;
use crate::source::{Manifest, ModelSource, SourceError};
use crate::url::ModelUrl;
use futures::TryStreamExt;
use std::sync::Arc;

/// The first read of a header; most fit, the others double it.
const FIRST_READ: u64 = 1 << 20;

/// A model's or an adapter's files and its header.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFacts {
    /// Its files.
    pub manifest: Manifest,
    /// Its main file's header.
    pub gguf: Arc<GgufFacts>,
    /// Bytes of all its files, as far as its source says; at least those of the main file's header.
    pub bytes: u64,
}

/// Why a model could not be inspected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// Its source did not give it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is no model.
    #[error("{url}: {error}")]
    Gguf {
        /// What was read.
        url: ModelUrl,
        /// What is wrong with it.
        error: GgufError,
    },
}

impl InspectError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Source(source) if source.is_transient())
    }
}

/// Reads a model's or an adapter's manifest and header.
///
/// # Errors
/// [`InspectError`]; a file shorter than its header promises is [`GgufError::Truncated`].
pub async fn inspect(
    source: &dyn ModelSource,
    url: &ModelUrl,
    credentials: Option<&Credentials>,
) -> Result<ModelFacts, InspectError> {
    let manifest = source.resolve(url, credentials).await?;
    let main = manifest.main().ok_or_else(|| SourceError::NotFound { what: url.to_string() })?;
    let refused = |error| InspectError::Gguf { url: url.clone(), error };
    let mut bytes = Vec::new();
    let mut wanted = FIRST_READ;
    let gguf = loop {
        let have = bytes.len() as u64;
        let mut stream = source.read(main, have..wanted, credentials).await?;
        while let Some(chunk) = stream.try_next().await? {
            let room = usize::try_from(wanted).unwrap_or(usize::MAX) - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        match GgufFacts::parse(&bytes).map_err(refused)? {
            Header::Whole(facts) => break facts,
            Header::Short if (bytes.len() as u64) < wanted => {
                let at = bytes.len() as u64;
                return Err(refused(GgufError::Malformed { at, what: "the file ends inside its header" }));
            }
            Header::Short => wanted = (wanted * 2).min(MAX_HEADER),
        }
    };
    if let Some(size) = main.size {
        gguf.check_size(size).map_err(refused)?;
    }
    let bytes = manifest.files.iter().map(|file| file.size.unwrap_or(0)).sum::<u64>().max(gguf.file_bytes);
    Ok(ModelFacts { gguf: Arc::from(gguf), bytes, manifest })
}
