//! Why a simulator did not start.

use std::net::SocketAddr;

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen there.
    #[error("the simulator cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate or the key is not usable.
    #[error("the simulator's certificate or key is not usable")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A name in the options is none that the API takes.
    #[error("{0:?} is no name that Oxide takes")]
    Name(String),
}
