//! HTTPS in front of a server that speaks HTTP.

use super::authority::Pair;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// It listens until it is dropped.
pub(crate) struct Tls {
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Tls {
    /// In front of this one, with this certificate.
    pub(crate) async fn start(server: SocketAddr, pair: &Pair) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that goes away in the middle is its own affair.
                tokio::spawn(forward(acceptor.clone(), client, server));
            }
        });
        Self { address, serving }
    }
}

async fn forward(acceptor: TlsAcceptor, client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(server).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
