//! Why a controller does not go on.

use clowder_core::BoxError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What ends the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no cluster is configured: set KUBECONFIG, or run this in a Pod with a service account")]
    Config(#[source] kube::Error),
    #[error("{what} failed")]
    Cluster { what: String, source: BoxError },
    #[error("the loop ended by itself")]
    Ended,
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the token in {path} cannot be read")]
    Token { path: PathBuf, source: io::Error },
    #[error("--infra-url: {0}")]
    InfraUrl(&'static str),
    #[error("{what} failed")]
    Starting { what: &'static str, source: io::Error },
}

impl Error {
    pub(crate) fn starting(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Starting { what, source }
    }

    pub(crate) fn cluster<E: Into<BoxError>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::Cluster { what: what.into(), source: source.into() }
    }
}
