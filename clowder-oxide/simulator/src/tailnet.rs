//! The devices of a tailnet, as Tailscale's API lists them.

use crate::error::StartError;
use crate::ids::Ids;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

/// The most devices of a tailnet; more are not taken.
const MAX_DEVICES: usize = 10_000;

/// A device that is to appear in a tailnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// What the device calls itself. In the tailnet's names it is in lower case, and numbered where others have it.
    pub hostname: String,
    /// Its addresses in the tailnet.
    pub addresses: Vec<IpAddr>,
    /// Its tags, each with its `tag:` in front.
    pub tags: Vec<String>,
}

/// A tailnet that answers `GET /api/v2/tailnet/{tailnet}/devices` (tailscale.com/api, "List tailnet devices") on a port
/// of this machine. It is gone when this is dropped.
#[derive(Debug)]
pub struct Tailnet {
    url: Url,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    api_key: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    devices: Vec<Value>,
    calls: u64,
    ids: Ids,
}

impl Tailnet {
    /// Starts one of this name, such as `tail66ef.ts.net`, that lets this API key in.
    ///
    /// # Errors
    /// [`StartError::Listen`].
    pub async fn start(name: &str, api_key: &str) -> Result<Self, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let url = format!("http://{}", listener.local_addr().map_err(listen)?);
        let inner = Inner { devices: Vec::new(), calls: 0, ids: Ids::new(0) };
        let shared = Arc::new(Shared { name: name.to_owned(), api_key: api_key.to_owned(), inner: Mutex::new(inner) });
        let router = Router::new().route("/api/v2/tailnet/{tailnet}/devices", get(devices)).with_state(shared.clone());
        let server = tokio::spawn(async move {
            // It ends when it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        let url = url.parse().map_err(|_| StartError::Name(url.clone()))?;
        Ok(Self { url, shared, server })
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A device joins.
    pub fn join(&self, device: &Device) {
        let mut inner = self.shared.lock();
        if inner.devices.len() < MAX_DEVICES {
            let id = inner.ids.next().simple().to_string();
            let name = free_name(&inner.devices, &device.hostname.to_lowercase(), &self.shared.name);
            inner.devices.push(json!({
                "addresses": device.addresses,
                "authorized": true,
                "hostname": device.hostname,
                "id": &id[..16],
                "isExternal": false,
                "keyExpiryDisabled": !device.tags.is_empty(),
                "name": name,
                "nodeId": format!("n{}CNTRL", &id[16..24]),
                "os": "linux",
                "tags": device.tags,
                "user": "",
            }));
        }
    }

    /// All devices that call themselves so leave.
    pub fn leave(&self, hostname: &str) {
        self.shared.lock().devices.retain(|device| device["hostname"] != hostname);
    }

    /// How often it was asked so far.
    pub fn calls(&self) -> u64 {
        self.shared.lock().calls
    }
}

impl Drop for Tailnet {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key is a bearer token, or the user name of basic authentication without a password.
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        given == format!("Bearer {}", self.api_key)
            || given == format!("Basic {}", STANDARD.encode(format!("{}:", self.api_key)))
    }
}

fn free_name(devices: &[Value], hostname: &str, tailnet: &str) -> String {
    let plain = format!("{hostname}.{tailnet}");
    let numbered = (1_u64..).map(|number| format!("{hostname}-{number}.{tailnet}"));
    let mut names = std::iter::once(plain).chain(numbered);
    names.find(|name| devices.iter().all(|device| device["name"] != *name)).unwrap_or_default()
}

async fn devices(
    State(shared): State<Arc<Shared>>,
    Path(tailnet): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let mut inner = shared.lock();
    inner.calls += 1;
    if !shared.lets_in(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "message": "API token invalid" })));
    }
    // "-" is the tailnet of the key.
    if tailnet != "-" && tailnet != shared.name {
        return (StatusCode::NOT_FOUND, Json(json!({ "message": "Not Found" })));
    }
    (StatusCode::OK, Json(json!({ "devices": inner.devices })))
}
