//! What all machines of a cluster have in common, and what part one plays.

use super::k3s::K3s;
use super::secrets::ClusterSecrets;
use super::tailscale::Tailscale;
use std::net::IpAddr;

/// What all machines of one cluster have in common.
#[derive(Clone, Debug)]
pub struct ClusterSetup {
    /// What is secret in it.
    pub secrets: ClusterSecrets,
    /// The Kubernetes that they run.
    pub k3s: K3s,
    /// Public keys with which the image's default user may log in, one line each; empty allows nobody. Root may not.
    pub ssh_keys: Vec<String>,
    /// Addresses and host names under which servers are reached beside their own: the floating IP. They are in the
    /// servers' certificates.
    pub server_names: Vec<String>,
    /// The tailnet that they join, if any.
    pub tailscale: Option<Tailscale>,
}

/// The part that a machine plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The first machine of all: it begins the cluster.
    FirstServer,
    /// A further machine of the control plane.
    Server {
        /// The address in the VPC of a server that runs. Once it has joined, it knows the others by itself.
        join: IpAddr,
    },
    /// A machine that runs workers.
    Agent {
        /// As for a server.
        join: IpAddr,
    },
}

impl Role {
    /// Whether it is of the control plane.
    pub(super) fn is_server(self) -> bool {
        !matches!(self, Self::Agent { .. })
    }
}
