//! `ModelSource`: where a model's bytes come from.

use crate::secret::Credentials;
use crate::url::ModelUrl;
use crate::{BoxError, BoxStream};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

/// A SHA-256 digest, written `sha256:HEX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A string that is no [`Digest`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no digest: write sha256: and 64 hexadecimal digits")]
pub struct InvalidDigest(pub String);

impl Digest {
    /// A digest from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 64 hexadecimal digits, lower case.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest(text.chars().take(80).collect());
        let hex = text.strip_prefix("sha256:").ok_or_else(invalid)?;
        if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The files a model consists of, as its source describes them now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What was asked for.
    pub url: ModelUrl,
    /// The files, the first being the one a worker opens. Never empty.
    pub files: Vec<SourceFile>,
}

impl Manifest {
    /// The file a worker opens.
    pub fn main(&self) -> Option<&SourceFile> {
        self.files.first()
    }
}

/// One file of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name, without folders.
    pub name: String,
    /// Where its source reads it: a URL or path, meaningful to that source alone.
    pub location: String,
    /// Bytes, where the source says.
    pub size: Option<u64>,
    /// SHA-256, where the source says.
    pub digest: Option<Digest>,
    /// The source's mark of this version of it: another mark, other bytes.
    pub etag: Option<String>,
}

/// Where a model's bytes come from.
///
/// Why not an HTTP client? Sources differ in how they name, list and sign; what a cache needs of all of them is a list
/// of files and ranges of their bytes. Retries, resuming, verification and caching belong to the reader of a source, once.
#[async_trait]
pub trait ModelSource: Send + Sync {
    /// Whether this source reads such URLs. Free of side effects.
    fn serves(&self, url: &ModelUrl) -> bool;

    /// The files of a model.
    ///
    /// # Errors
    /// [`SourceError::NotFound`], [`SourceError::Denied`], [`SourceError::Unreachable`] or
    /// [`SourceError::Unsupported`] where [`serves`](Self::serves) is false.
    async fn resolve(&self, url: &ModelUrl, credentials: Option<&Credentials>) -> Result<Manifest, SourceError>;

    /// A range of a file's bytes, in order. The stream ends after the range or at the end of the file, whichever is
    /// first; a stream that broke off ends with an error.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); [`SourceError::Changed`] where the file is no longer the one resolved.
    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        credentials: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError>;
}

#[async_trait]
impl<T: ModelSource + ?Sized> ModelSource for Arc<T> {
    fn serves(&self, url: &ModelUrl) -> bool {
        T::serves(self, url)
    }

    async fn resolve(&self, url: &ModelUrl, credentials: Option<&Credentials>) -> Result<Manifest, SourceError> {
        T::resolve(self, url, credentials).await
    }

    async fn read(
        &self,
        file: &SourceFile,
        range: Range<u64>,
        credentials: Option<&Credentials>,
    ) -> Result<BoxStream<Result<Bytes, SourceError>>, SourceError> {
        T::read(self, file, range, credentials).await
    }
}

/// Why a source did not give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No source reads such URLs.
    #[error("no source reads {scheme}: URLs")]
    Unsupported {
        /// The URL's scheme.
        scheme: String,
    },
    /// It is read elsewhere, and cannot be here.
    #[error("{what} cannot be used here: {hint}")]
    Unusable {
        /// What was asked for.
        what: String,
        /// Why, and what to do.
        hint: String,
    },
    /// There is no such model, repository or file.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// The source wants other credentials.
    #[error("{what} is not open to these credentials: {hint}")]
    Denied {
        /// What was asked for.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The source does not answer, or not sensibly.
    #[error("{what} cannot be reached")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// The file is not the one that was resolved.
    #[error("{what} changed at its source while it was read")]
    Changed {
        /// What was read.
        what: String,
    },
}

impl SourceError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Changed { .. })
    }
}
