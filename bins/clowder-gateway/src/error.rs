//! Why a gateway does not serve.

use clowder_balancer::{ApiKeysError, ExposureError, GatewayError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What ends the program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Exposed(#[from] ExposureError),
    #[error(transparent)]
    ApiKeys(#[from] ApiKeysError),
    #[error("{path} cannot be read")]
    Reading { path: PathBuf, source: io::Error },
    #[error("{path} is empty: write the secret into it")]
    EmptySecret { path: PathBuf },
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("no cluster is configured: set KUBECONFIG, or run this in a Pod with a service account")]
    Config(#[from] kube::Error),
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error("{what} failed")]
    Starting { what: &'static str, source: io::Error },
}

impl Error {
    pub(crate) fn starting(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Starting { what, source }
    }
}

pub(crate) fn reading(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Reading { path, source }
}
