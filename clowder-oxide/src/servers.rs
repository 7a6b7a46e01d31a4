//! The servers of a cluster, for whoever looks for a way to it before it answers.

use crate::cluster::Cluster;
use crate::error::OxideError;
use crate::machine::MachineName;
use crate::observe::observe;
use crate::owner::Part;
use crate::rack::Rack;
use std::net::IpAddr;

/// The servers of a cluster, as the rack has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenServers {
    /// Those there are, whatever state they are in.
    pub names: Vec<MachineName>,
    /// The address that leads to one of them from outside, if there is one.
    pub floating_ip: Option<IpAddr>,
    /// Addresses inside the VPC of those that run.
    pub addresses: Vec<IpAddr>,
}

/// Looks for the servers of a cluster. It changes nothing.
///
/// # Errors
/// [`OxideError`], where the rack cannot be looked at.
pub async fn servers(rack: &Rack, cluster: &Cluster) -> Result<SeenServers, OxideError> {
    let seen = observe(rack, cluster).await?;
    Ok(SeenServers {
        names: seen.machines(cluster, &Part::Servers).map(|(name, _)| name).collect(),
        floating_ip: seen.own_floating_ip(cluster).map(|address| address.ip),
        addresses: seen.addresses.values().copied().collect(),
    })
}
