//! What a machine does when it first starts, and what all machines of a cluster share.
//!
//! [`ClusterSecrets`] are made once, before the first machine: the tokens with which machines join, and the two
//! certificate authorities of the cluster. [`user_data`] turns them, a [`ClusterSetup`] and what is particular to one
//! machine into the text that cloud-init carries out there. Nothing is ever fetched *from* a machine: who has the
//! authorities signs an administrator's certificate himself ([`ClusterSecrets::kubeconfig`]), and so needs no SSH, and
//! trusts the cluster as the cluster trusts him from the first byte on.
//!
//! | machine | what secrets it gets |
//! |---|---|
//! | first server | both authorities with their keys, both tokens |
//! | further server | both tokens; k3s itself hands it the authorities when it joins |
//! | agent | the agent token alone, with which nobody can become a server |
//! | each, with tailscale | the auth key, until it has joined the tailnet |
//!
//! Once the machine is a node, it deletes the copies that cloud-init keeps of its user data. What remains is what k3s
//! needs at each start (`/etc/rancher/k3s/config.yaml`, for root alone) and the volume in which Oxide hands out the user
//! data, which only root of that machine can read: there is no metadata service that a Pod could ask.

mod artifact;
mod certificates;
mod check;
mod config;
mod k3s;
mod kubeconfig;
mod labels;
mod machine;
mod secrets;
mod setup;
mod shell;
mod tailscale;
mod user_data;
mod yaml;

pub use artifact::{Artifact, InvalidArtifact, Source};
pub use k3s::K3s;
pub use kubeconfig::Kubeconfig;
pub use secrets::{ClusterSecrets, SecretsError};
pub use setup::{ClusterSetup, Role};
pub use tailscale::{InvalidTag, Tag, Tailscale};
pub use user_data::{MAX_USER_DATA, Room, UserData, UserDataError, user_data};
