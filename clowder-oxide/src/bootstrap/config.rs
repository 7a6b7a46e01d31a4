//! What k3s is told on a machine (<https://docs.k3s.io/installation/configuration>).

use super::secrets::ClusterSecrets;
use super::setup::{ClusterSetup, Role};
use crate::machine::MachineName;
use crate::reserve::{EVICTION, MIB, system_reserve};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// The port of the API and of joining.
const PORT: u16 = 6443;

/// What keeps everything off a server that does not ask for it.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane:NoSchedule";

/// `/etc/rancher/k3s/config.yaml`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Config<'a> {
    node_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    token: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    control_plane: Option<ControlPlane<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node_label: Vec<String>,
    kubelet_arg: Vec<String>,
}

/// The part of servers.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ControlPlane<'a> {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cluster_init: bool,
    agent_token: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tls_san: &'a [String],
    secrets_encryption: bool,
    node_taint: [&'static str; 1],
}

impl<'a> Config<'a> {
    pub(super) fn new(
        setup: &'a ClusterSetup,
        machine: &MachineName,
        memory: u64,
        role: Role,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let secrets = &setup.secrets;
        let (server, token) = joining(secrets, role);
        let control_plane = role.is_server().then(|| ControlPlane {
            cluster_init: role == Role::FirstServer,
            agent_token: secrets.agent_token().expose(),
            tls_san: &setup.server_names,
            secrets_encryption: true,
            node_taint: [CONTROL_PLANE],
        });
        Self {
            node_name: machine.to_string(),
            server,
            token,
            control_plane,
            node_label: labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            kubelet_arg: reserves(memory),
        }
    }
}

/// Where the machine joins, and with what.
fn joining(secrets: &ClusterSecrets, role: Role) -> (Option<String>, String) {
    let at = |join: IpAddr| Some(format!("https://{}", SocketAddr::new(join, PORT)));
    match role {
        // There is no server yet whose authority could be checked.
        Role::FirstServer => (None, secrets.server_token().expose().to_owned()),
        Role::Server { join } => (at(join), secrets.joining_server().expose().to_owned()),
        Role::Agent { join } => (at(join), secrets.joining_agent().expose().to_owned()),
    }
}

/// Workers get all memory but the [`system_reserve`], as was promised before the machine existed. k3s has Pods evicted for
/// want of disk alone unless it is told of memory too.
fn reserves(memory: u64) -> Vec<String> {
    let reserved = system_reserve(memory).saturating_sub(EVICTION).div_ceil(MIB);
    let eviction = EVICTION / MIB;
    vec![
        format!("system-reserved=memory={reserved}Mi"),
        format!("eviction-hard=memory.available<{eviction}Mi,nodefs.available<5%,imagefs.available<5%"),
    ]
}
