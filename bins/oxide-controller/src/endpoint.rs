//! Where the cluster's API is, as seen from here.

use crate::error::Error;
use crate::settings::TailnetSettings;
use clowder_oxide::{SeenServers, Tailnet};
use std::net::IpAddr;
use url::Url;

/// The port of k3s' API server.
const PORT: u16 = 6443;

/// What is asked for the address of the API, in the order of preference: the floating IP leads to whichever server is well;
/// a tailnet reaches its machines from wherever it is; the VPC's own addresses serve who is in the VPC.
#[derive(Debug)]
pub(crate) struct Endpoint<'a> {
    pub(crate) tailnet: Option<&'a TailnetSettings>,
    /// Whether the cluster has, or will have, a floating IP.
    pub(crate) floating: bool,
}

impl Endpoint<'_> {
    /// The URL of the API, once there is one.
    pub(crate) async fn find(&self, servers: &SeenServers) -> Result<Option<Url>, Error> {
        if self.floating {
            // No other address will do: it is the one that kubeconfigs name for good.
            return Ok(servers.floating_ip.map(url));
        }
        let Some(tailnet) = self.tailnet else { return Ok(servers.addresses.first().copied().map(url)) };
        let Some(key) = &tailnet.api_key else { return Ok(None) };
        if servers.addresses.is_empty() {
            return Ok(None);
        }
        let api = Tailnet::new(&tailnet.api, &tailnet.name, key.clone())?;
        for name in &servers.names {
            if let Some(address) = api.address(name, &tailnet.machines.tag).await? {
                return Ok(Some(url(address)));
            }
        }
        Ok(None)
    }
}

/// The API at this address.
fn url(address: IpAddr) -> Url {
    let host = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    format!("https://{host}:{PORT}").parse().expect("an address and a port are a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(floating_ip: Option<&str>, addresses: &[&str]) -> SeenServers {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        SeenServers { names: Vec::new(), floating_ip: floating_ip.map(|ip| ip.parse().unwrap()), addresses }
    }

    #[tokio::test]
    async fn the_floating_ip_goes_before_the_addresses_of_the_vpc() {
        let (public, private) =
            (Endpoint { tailnet: None, floating: true }, Endpoint { tailnet: None, floating: false });
        let both = servers(Some("203.0.113.7"), &["172.30.0.5"]);
        let found = async |endpoint: &Endpoint<'_>, servers: &SeenServers| {
            endpoint.find(servers).await.unwrap().map(|url| url.to_string())
        };
        assert_eq!(found(&public, &both).await.as_deref(), Some("https://203.0.113.7:6443/"));
        assert_eq!(found(&private, &both).await.as_deref(), Some("https://172.30.0.5:6443/"));
        assert_eq!(found(&public, &servers(None, &["172.30.0.5"])).await, None);
        assert_eq!(found(&private, &servers(None, &[])).await, None);
        assert_eq!(found(&private, &servers(None, &["fd00::5"])).await.as_deref(), Some("https://[fd00::5]:6443/"));
    }
}
