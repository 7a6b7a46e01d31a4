//! Why a server does not start, or ended.

use clowder_core::BoxError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server does not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ServeError {
    /// Another server runs on the same home folder.
    #[error(
        "a server{} already runs on {}: end it, or give this one a folder of its own with --home",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        home.display()
    )]
    AlreadyRunning { home: PathBuf, pid: Option<u32> },
    /// The lock cannot be taken.
    #[error("the lock {} cannot be taken", path.display())]
    Lock {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error(
        "{address} is taken by another program: end that one, or listen elsewhere, for example --address {}:0 for a \
         free port",
        address.ip()
    )]
    AddressInUse { address: SocketAddr },
    /// Listening is not possible for another reason.
    #[error("listening on {address} failed")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// It would be open to other machines.
    #[error("{source}: name a file of keys with --api-key-file")]
    Exposed { source: clowder_balancer::ExposureError },
    /// A part of it does not start.
    #[error("{part} did not start")]
    Part {
        part: &'static str,
        #[source]
        source: BoxError,
    },
    /// A part of it ended by itself.
    #[error("{part} ended unexpectedly")]
    Ended {
        part: &'static str,
        #[source]
        source: Option<BoxError>,
    },
}

impl ServeError {
    /// A part that does not start.
    pub(crate) fn part<E: Into<BoxError>>(part: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Part { part, source: source.into() }
    }
}
