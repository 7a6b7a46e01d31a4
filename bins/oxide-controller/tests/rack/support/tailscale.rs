//! The API of a tailnet, over HTTPS, with one machine in it at a time that a test chooses.

use super::authority::Pair;
use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What it knows.
#[derive(Clone, Default)]
pub(crate) struct Tailnet {
    devices: Arc<Mutex<Vec<(String, String)>>>,
    asked: Arc<AtomicUsize>,
}

impl Tailnet {
    /// A machine joins.
    pub(crate) fn join(&self, name: &str, address: &str) {
        self.devices.lock().unwrap().push((name.to_owned(), address.to_owned()));
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Serves it until the test ends, and says where.
    pub(crate) async fn serve(&self, pair: &Pair) -> SocketAddr {
        let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let app = Router::new().route("/api/v2/tailnet/{tailnet}/devices", get(devices)).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, app) = (acceptor.clone(), app.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper_util::service::TowerToHyperService::new(app);
                    let io = hyper_util::rt::TokioIo::new(stream);
                    // A client that goes away in the middle is its own affair.
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
                });
            }
        });
        address
    }
}

async fn devices(
    State(tailnet): State<Tailnet>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, StatusCode> {
    tailnet.asked.fetch_add(1, Ordering::SeqCst);
    // The key as a bearer token, or as the user name of basic authentication: `tskey-api-test:`.
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !matches!(authorization, "Bearer tskey-api-test" | "Basic dHNrZXktYXBpLXRlc3Q6") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    if name != "tail66ef.ts.net" {
        return Err(StatusCode::NOT_FOUND);
    }
    let devices = tailnet.devices.lock().unwrap().iter().enumerate().map(|(index, (name, address))| {
        json!({
            "id": index.to_string(),
            "nodeId": format!("n{index}"),
            "hostname": name,
            "name": format!("{name}.tail66ef.ts.net"),
            "addresses": [address, "fd7a:115c:a1e0::1"],
            "tags": ["tag:clowder-k8s-node"],
            "authorized": true,
            "created": "2026-01-01T00:00:00Z",
            "lastSeen": "2026-01-01T00:00:00Z",
        })
    });
    Ok(Json(json!({ "devices": devices.collect::<Vec<_>>() })))
}
