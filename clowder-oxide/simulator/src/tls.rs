//! HTTPS, for clients that reach the rack by a host name.

use crate::error::StartError;
use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{DEFAULT_VERSIONS, ServerConfig};

/// A host name, its certificate and the key.
#[derive(Clone)]
pub struct Tls {
    /// The name in the certificate, under which clients look for the rack. Whoever uses it sees to it that the client
    /// finds this machine under that name.
    pub host: String,
    /// The chain of certificates, PEM.
    pub certificates: String,
    /// The private key, PEM.
    pub key: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Tls {
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, StartError> {
        let refuse = |error: Box<dyn std::error::Error + Send + Sync>| StartError::Tls(error);
        let chain = CertificateDer::pem_slice_iter(self.certificates.as_bytes()).collect::<Result<Vec<_>, _>>();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| refuse(error.into()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(DEFAULT_VERSIONS)
            .map_err(|error| refuse(error.into()))?
            .with_no_client_auth()
            .with_single_cert(chain.map_err(|error| refuse(error.into()))?, key)
            .map_err(|error| refuse(error.into()))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
