//! Why a [`LocalBackend`](super::LocalBackend) cannot begin.

use std::path::PathBuf;

/// Why a [`LocalBackend`](super::LocalBackend) cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The folder of the workers' logs cannot be made or read.
    #[error("the log folder {folder} cannot be used: name another one, or mend its permissions")]
    LogFolder {
        /// Which folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
