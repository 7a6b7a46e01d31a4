//! What a storage manager's caller may meet.

use clowder_core::source::{Digest, SourceError};
use clowder_core::store::{FetchRequest, StoreError};

/// Why a storage manager did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// Its address is none.
    #[error("{0:?} is no address of a storage manager: write http://HOST:PORT")]
    Address(String),
    /// The client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    /// It does not answer, or broke off.
    #[error("the storage manager {manager} does not answer")]
    Unreachable {
        /// Its base URL.
        manager: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It refused, in its own words.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error's code in the REST API.
        code: String,
        /// What it says.
        message: String,
        /// What the bytes hash to, where that is why.
        actual: Option<Digest>,
    },
    /// Its answer is not one of the REST API.
    #[error("the storage manager {manager} answered {status} with what is no answer of its API")]
    Senseless {
        /// Its base URL.
        manager: String,
        /// The HTTP status.
        status: u16,
    },
}

impl ManagerError {
    /// Whether the same call may succeed later without anybody changing what is asked.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Address(_) | Self::Client(_) | Self::Senseless { .. } => false,
        }
    }

    /// In the words of core, for a call about a model.
    pub(super) fn about(self, model: &FetchRequest) -> StoreError {
        let url = model.url.clone();
        let what = url.to_string();
        let (code, actual) = match &self {
            Self::Refused { code, actual, .. } => (code.as_str(), *actual),
            _ => ("", None),
        };
        match (code, model.digest.zip(actual)) {
            ("digest_mismatch", Some((expected, actual))) => StoreError::DigestMismatch { url, expected, actual },
            ("not_found", _) => SourceError::NotFound { what }.into(),
            ("denied", _) => SourceError::Denied { what, hint: self.to_string() }.into(),
            ("in_use", _) => StoreError::InUse { url },
            ("pinned", _) => StoreError::Pinned { url },
            _ if self.is_transient() => SourceError::Unreachable { what, source: self.into() }.into(),
            _ => StoreError::Cache { what: format!("call for {what}"), source: self.into() },
        }
    }
}
