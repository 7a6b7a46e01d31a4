//! Tailscale's API, asked for the address of one machine: `GET /api/v2/tailnet/{tailnet}/devices`
//! (<https://tailscale.com/api>).

use clowder_core::{BoxError, Secret};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest answer that is read, in bytes: some ten thousand machines.
const MAX_ANSWER: usize = 32 << 20;

/// A tailnet, as its API tells of it.
#[derive(Debug)]
pub(crate) struct Api {
    client: Client,
    url: Url,
    host: String,
    tailnet: String,
    key: Secret,
}

/// Why a machine's address is not to be had. The key is in none of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TailscaleError {
    #[error("--tailscale-api-url {url} is not one: write it as https://HOST")]
    Url { url: String },
    #[error("there can be no client of tailscale's API")]
    Client(#[source] BoxError),
    #[error("tailscale's API at {host} does not answer")]
    Unreachable { host: String, source: BoxError },
    #[error(
        "tailscale's API at {host} refuses the key: give a valid one with --tailscale-api-key, with the right to read devices"
    )]
    Refused { host: String },
    #[error("tailscale's API at {host} knows no tailnet {tailnet}: look at --tailscale-tailnet")]
    UnknownTailnet { host: String, tailnet: String },
    #[error("tailscale's API at {host} answered {status}")]
    Status { host: String, status: u16 },
    #[error("the answer of tailscale's API at {host} is not understood")]
    Answer { host: String, source: Option<serde_json::Error> },
}

impl TailscaleError {
    /// Whether asking again may help.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    hostname: String,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    /// RFC 3339, so that later ones are greater.
    #[serde(default)]
    created: String,
}

impl Api {
    pub(crate) fn new(url: &Url, tailnet: &str, key: Secret) -> Result<Self, TailscaleError> {
        let wrong = || TailscaleError::Url { url: url.as_str().chars().take(200).collect() };
        let host = url.host_str().ok_or_else(wrong)?.to_owned();
        let is_local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if url.scheme() != "https" && !is_local {
            return Err(wrong());
        }
        let mut devices = url.clone();
        devices
            .path_segments_mut()
            .map_err(|()| wrong())?
            .pop_if_empty()
            .extend(["api", "v2", "tailnet", tailnet, "devices"]);
        let client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
        let client = client.map_err(|error| TailscaleError::Client(error.into()))?;
        Ok(Self { client, url: devices, host, tailnet: tailnet.to_owned(), key })
    }

    /// The address of a machine in the tailnet, an IPv4 one if it has one; `None` while it has not joined. Of several of its
    /// name the one that joined last is meant: a machine that was made anew has the name of the one before.
    pub(crate) async fn address(&self, machine: &str) -> Result<Option<IpAddr>, TailscaleError> {
        let found = self.devices().await?.into_iter().filter(|device| device.hostname == machine);
        let last = found.max_by(|a, b| a.created.cmp(&b.created));
        Ok(last.and_then(|device| device.addresses.into_iter().min_by_key(IpAddr::is_ipv6)))
    }

    async fn devices(&self) -> Result<Vec<Device>, TailscaleError> {
        let host = || self.host.clone();
        let unreachable =
            |error: reqwest::Error| TailscaleError::Unreachable { host: host(), source: error.without_url().into() };
        let request = self.client.get(self.url.clone()).bearer_auth(self.key.expose());
        let mut answer = request.send().await.map_err(unreachable)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(TailscaleError::Refused { host: host() }),
            StatusCode::NOT_FOUND => {
                return Err(TailscaleError::UnknownTailnet { host: host(), tailnet: self.tailnet.clone() });
            }
            status => return Err(TailscaleError::Status { host: host(), status: status.as_u16() }),
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(TailscaleError::Answer { host: host(), source: None });
            }
            body.extend_from_slice(&chunk);
        }
        let devices: Devices = serde_json::from_slice(&body)
            .map_err(|source| TailscaleError::Answer { host: host(), source: Some(source) })?;
        Ok(devices.devices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    const DEVICES: &str = "/api/v2/tailnet/t.ts.net/devices";

    /// An API that gives this answer to whoever has the key.
    async fn api(answer: Result<Value, u16>) -> Url {
        let handler = move |headers: HeaderMap| async move {
            let key = headers.get("authorization").and_then(|value| value.to_str().ok());
            match answer {
                _ if key != Some("Bearer tskey-api-1") => Err(StatusCode::UNAUTHORIZED),
                Ok(value) => Ok(Json(value)),
                Err(status) => Err(StatusCode::from_u16(status).unwrap()),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async { axum::serve(listener, Router::new().route(DEVICES, get(handler))).await });
        url
    }

    async fn ask(url: &Url, tailnet: &str, key: &str, machine: &str) -> Result<Option<IpAddr>, TailscaleError> {
        Api::new(url, tailnet, Secret::new(key))?.address(machine).await
    }

    #[tokio::test]
    async fn the_machine_that_joined_last_under_a_name_is_meant() {
        let device = |name: &str, created: &str, addresses: &[&str]| json!({"hostname": name, "created": created, "addresses": addresses, "os": "linux"});
        let devices = json!({"devices": [
            device("cp-0", "2026-01-02T00:00:00Z", &["fd7a::2", "100.64.0.2"]),
            device("cp-0", "2026-01-01T00:00:00Z", &["100.64.0.1"]),
            device("cp-1", "2026-01-01T00:00:00Z", &[]),
        ]});
        let url = api(Ok(devices)).await;
        let of = async |machine| ask(&url, "t.ts.net", "tskey-api-1", machine).await.unwrap().map(|ip| ip.to_string());
        assert_eq!(of("cp-0").await.as_deref(), Some("100.64.0.2"));
        assert_eq!((of("cp-1").await, of("cp-2").await), (None, None));
    }

    #[tokio::test]
    async fn a_refusal_says_which_flag_is_wrong_and_no_secret() {
        let url = api(Ok(json!({"devices": 3}))).await;
        for (tailnet, key, says) in [
            ("t.ts.net", "tskey-wrong", "--tailscale-api-key"),
            ("other.ts.net", "tskey-api-1", "--tailscale-tailnet"),
            ("t.ts.net", "tskey-api-1", "is not understood"),
        ] {
            let error = ask(&url, tailnet, key, "cp-0").await.unwrap_err();
            let said = clowder_core::chain(&error);
            assert!(said.contains(says) && !said.contains("tskey") && !error.is_passing(), "{said}");
        }
        let busy = ask(&api(Err(503)).await, "t.ts.net", "tskey-api-1", "cp-0").await.unwrap_err();
        assert!(busy.is_passing(), "{busy}");
        let plain = "http://api.example.com".parse().unwrap();
        assert!(matches!(ask(&plain, "t", "k", "m").await, Err(TailscaleError::Url { .. })));
    }
}
