//! How failures of the disk become [`StoreError`]s.

use clowder_core::store::StoreError;
use std::io;
use std::path::Path;

/// `what` as in "the cache `write of` PATH failed".
pub(super) fn failed<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Cache { what: format!("{what} {}", path.display()), source: source.into() }
}

/// Whether the disk, or the user's share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A second copy of an error, for another caller who waited for the same thing. Causes become their text.
pub(super) fn again(error: &StoreError) -> StoreError {
    use clowder_core::source::SourceError::{Changed, Denied, NotFound, Unreachable, Unsupported};
    match error {
        StoreError::Source(Unsupported { scheme }) => Unsupported { scheme: scheme.clone() }.into(),
        StoreError::Source(NotFound { what }) => NotFound { what: what.clone() }.into(),
        StoreError::Source(Denied { what, hint }) => Denied { what: what.clone(), hint: hint.clone() }.into(),
        StoreError::Source(Changed { what }) => Changed { what: what.clone() }.into(),
        StoreError::Source(Unreachable { what, source }) => {
            Unreachable { what: what.clone(), source: source.to_string().into() }.into()
        }
        StoreError::DigestMismatch { url, expected, actual } => {
            StoreError::DigestMismatch { url: url.clone(), expected: *expected, actual: *actual }
        }
        StoreError::NotAModel { url, error } => StoreError::NotAModel { url: url.clone(), error: error.clone() },
        StoreError::NoSpace { url, needed, free, folder } => {
            StoreError::NoSpace { url: url.clone(), needed: *needed, free: *free, folder: folder.clone() }
        }
        StoreError::FullOfPinned { url, needed, free, folder, pinned } => StoreError::FullOfPinned {
            url: url.clone(),
            needed: *needed,
            free: *free,
            folder: folder.clone(),
            pinned: pinned.clone(),
        },
        StoreError::InUse { url } => StoreError::InUse { url: url.clone() },
        StoreError::Cache { what, source } => {
            StoreError::Cache { what: what.clone(), source: source.to_string().into() }
        }
        other => StoreError::Cache { what: "fetch".to_owned(), source: other.to_string().into() },
    }
}
