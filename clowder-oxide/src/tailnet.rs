//! What tailscale's API says of a tailnet.

use crate::bootstrap::Tag;
use crate::machine::MachineName;
use clowder_core::{BoxError, Secret};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;
use url::{Host, Url};

/// Where tailscale's API is.
pub const TAILSCALE_API: &str = "https://api.tailscale.com";

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// The most bytes of an answer that are read: some ten thousand devices.
const MAX_ANSWER: usize = 16 << 20;

/// A tailnet, as its API key sees it (<https://tailscale.com/api>).
///
/// It is asked for one thing: the address of a machine that has joined, the first server's, which nobody else could know.
#[derive(Clone, Debug)]
pub struct Tailnet {
    http: reqwest::Client,
    devices: Url,
    key: Secret,
}

/// Why a tailnet's API does not say it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TailnetError {
    /// Its address is none to which a key may be sent.
    #[error("{0:?} is no address of tailscale's API: write https://HOST")]
    Api(String),
    /// The tailnet has no name.
    #[error("{0:?} is no name of a tailnet: write one such as tail1234.ts.net, or - for that of the key")]
    Name(String),
    /// The client cannot be set up.
    #[error("the client of tailscale's API cannot be set up")]
    Client(#[source] BoxError),
    /// It does not answer, or broke off.
    #[error("tailscale's API at {host} does not answer")]
    Unreachable {
        /// Where it was asked.
        host: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// It does not know the key.
    #[error("tailscale's API refuses the key: make a new API key, or see that this one may read devices")]
    KeyRefused,
    /// There is no such tailnet, or the key is another's.
    #[error("tailscale's API knows no tailnet {0} that the key may see")]
    UnknownTailnet(String),
    /// It refuses, for the time being or for good.
    #[error("tailscale's API answers with status {0}")]
    Refused(u16),
    /// Its answer is none of the API.
    #[error("tailscale's API gives an answer that is no list of devices")]
    Senseless,
}

impl TailnetError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(status) => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }
}

/// The part of the API's answer that is of use.
#[derive(Deserialize)]
struct Devices {
    devices: Vec<Device>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    /// As RFC 3339 in UTC, so that later is greater.
    #[serde(default)]
    created: String,
    #[serde(default)]
    authorized: bool,
}

impl Tailnet {
    /// The tailnet of this name (`-`: the key's own) by the API at `api`, usually [`TAILSCALE_API`].
    ///
    /// # Errors
    /// [`TailnetError::Api`], [`TailnetError::Name`], [`TailnetError::Client`].
    pub fn new(api: &str, tailnet: &str, key: Secret) -> Result<Self, TailnetError> {
        let mut devices = Url::parse(api)
            .ok()
            .filter(may_see_a_key)
            .ok_or_else(|| TailnetError::Api(api.chars().take(80).collect()))?;
        let one_segment = !tailnet.contains('/') && !matches!(tailnet, "" | "." | "..");
        if !one_segment || tailnet.len() > 253 || tailnet.chars().any(char::is_whitespace) {
            return Err(TailnetError::Name(tailnet.chars().take(80).collect()));
        }
        if let Ok(mut path) = devices.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v2", "tailnet", tailnet, "devices"]);
        }
        let mut builder = reqwest::Client::builder()
            .timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("clowder/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&devices) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| TailnetError::Client(error.into()))?;
        Ok(Self { http, devices, key })
    }

    /// The address of a machine in the tailnet, once it has joined with this tag and was let in.
    ///
    /// A machine of an earlier cluster may have left its name behind, so the one that joined last is meant.
    ///
    /// # Errors
    /// [`TailnetError`]; [`TailnetError::is_transient`] says whether to ask again.
    pub async fn address(&self, machine: &MachineName, tag: &Tag) -> Result<Option<IpAddr>, TailnetError> {
        let (name, tag) = (machine.to_string(), format!("tag:{tag}"));
        let joined = |device: &Device| device.authorized && device.hostname == name && device.tags.contains(&tag);
        let devices = self.devices().await?.into_iter().filter(joined);
        let latest = devices.max_by(|one, other| one.created.cmp(&other.created));
        Ok(latest.and_then(|device| {
            let addresses = device.addresses.iter().filter_map(|text| text.parse().ok());
            addresses.filter(is_tailnets).min_by_key(IpAddr::is_ipv6)
        }))
    }

    async fn devices(&self) -> Result<Vec<Device>, TailnetError> {
        let unreachable = |error: reqwest::Error| TailnetError::Unreachable {
            host: self.devices.host_str().unwrap_or_default().to_owned(),
            source: error.without_url().into(),
        };
        let request = self.http.get(self.devices.clone()).bearer_auth(self.key.expose());
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Err(TailnetError::KeyRefused),
            404 => return Err(TailnetError::UnknownTailnet(self.tailnet().to_owned())),
            status => return Err(TailnetError::Refused(status)),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(TailnetError::Senseless);
            }
            body.extend_from_slice(&chunk);
        }
        let read: Devices = serde_json::from_slice(&body).map_err(|_| TailnetError::Senseless)?;
        Ok(read.devices)
    }

    /// Its name, as it was asked for.
    fn tailnet(&self) -> &str {
        self.devices.path_segments().and_then(|path| path.rev().nth(1)).unwrap_or_default()
    }
}

/// An address that tailscale gives (<https://tailscale.com/kb/1015/100.x-addresses>).
fn is_tailnets(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => matches!(address.octets(), [100, 64..=127, ..]),
        IpAddr::V6(address) => matches!(address.segments(), [0xfd7a, 0x115c, 0xa1e0, ..]),
    }
}

/// A key does not leave this machine in the clear.
fn may_see_a_key(api: &Url) -> bool {
    api.has_host() && (api.scheme() == "https" || api.scheme() == "http" && is_loopback(api))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_nowhere_in_the_clear() {
        let made = |api, tailnet| Tailnet::new(api, tailnet, Secret::new("tskey-api-x"));
        for (api, tailnet) in [(TAILSCALE_API, "tail66ef.ts.net"), (TAILSCALE_API, "-"), ("http://[::1]:1", "a@b.c")] {
            assert!(made(api, tailnet).is_ok(), "{api} {tailnet}");
        }
        for api in ["http://api.tailscale.com", "api.tailscale.com", "ftp://localhost", "", "data:,x"] {
            assert!(matches!(made(api, "-"), Err(TailnetError::Api(_))), "{api}");
        }
        for tailnet in ["", "..", "a b", "a/b", &"a".repeat(254)] {
            assert!(matches!(made(TAILSCALE_API, tailnet), Err(TailnetError::Name(_))), "{tailnet}");
        }
    }

    #[test]
    fn nothing_prints_the_key() {
        let tailnet = Tailnet::new(TAILSCALE_API, "-", Secret::new("tskey-api-x")).unwrap();
        assert!(!format!("{tailnet:?}").contains("tskey"));
    }

    #[test]
    fn only_tailscales_addresses_are_a_tailnets() {
        let of = |text: &str| is_tailnets(&text.parse().unwrap());
        assert!(of("100.64.0.1") && of("100.127.255.254") && of("fd7a:115c:a1e0::1"));
        assert!(!of("100.128.0.1") && !of("100.63.0.1") && !of("10.0.0.1") && !of("fd7a:115c:a1e1::1") && !of("::1"));
    }
}
