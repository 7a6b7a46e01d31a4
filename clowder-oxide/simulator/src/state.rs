//! What there is on the rack, for a test to look at.

use crate::rack::Rack;
use crate::records::{Disk, Group, Image, Instance, Snapshot, UserData, Vpc};
use crate::table::{Resource, Table};
use oxide::types::{self, InstanceState, PrivateIpStack};
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

/// All that there is on the rack at one moment, each kind by name.
#[derive(Clone, Debug)]
pub struct State {
    /// Projects.
    pub projects: Vec<types::Project>,
    /// Instances.
    pub instances: Vec<Instance>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// Snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Images, of projects and of the silo.
    pub images: Vec<Image>,
    /// Floating IPs.
    pub floating_ips: Vec<types::FloatingIp>,
    /// VPCs and their firewalls.
    pub vpcs: Vec<Vpc>,
    /// Anti-affinity groups.
    pub anti_affinity_groups: Vec<Group>,
}

impl State {
    pub(crate) fn of(rack: &Rack) -> Self {
        Self {
            projects: by_name(&rack.projects),
            instances: by_name(&rack.instances),
            disks: by_name(&rack.disks),
            snapshots: by_name(&rack.snapshots),
            images: by_name(&rack.images),
            floating_ips: by_name(&rack.floating_ips),
            vpcs: by_name(&rack.vpcs),
            anti_affinity_groups: by_name(&rack.groups),
        }
    }

    /// The first instance of this name.
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.instances.iter().find(|instance| *instance.view.name == name)
    }

    /// The first disk of this name.
    pub fn disk(&self, name: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| *disk.view.name == name)
    }

    /// The first image of this name.
    pub fn image(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|image| *image.view.name == name)
    }
}

fn by_name<T: Resource + Clone>(table: &Table<T>) -> Vec<T> {
    let mut rows: Vec<T> = table.iter().cloned().collect();
    rows.sort_by(|a, b| a.name().cmp(b.name()));
    rows
}

/// What runs in an instance: for a test that plays the machines, and lets a node join when its guest comes up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// The instance's name.
    pub name: String,
    /// The instance's id; another one of the same name has another.
    pub id: Uuid,
    /// What the API says of the instance.
    pub state: InstanceState,
    /// Whether the guest really runs.
    pub is_up: bool,
    /// How often it came up so far; a reboot is one more.
    pub boots: u64,
    /// Its private address, of its primary interface.
    pub private_ip: Option<Ipv4Addr>,
    /// Its external addresses, those for outgoing connections left out.
    pub external_ips: Vec<IpAddr>,
    /// What its cloud-init was given.
    pub user_data: UserData,
}

impl Guest {
    /// All of them, by name.
    pub(crate) fn all(rack: &Rack) -> Vec<Self> {
        let mut guests: Vec<Self> = rack.instances.iter().map(|instance| Self::of(rack, instance)).collect();
        guests.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        guests
    }

    fn of(rack: &Rack, instance: &Instance) -> Self {
        let external_ips = rack.external_ips_of(instance.view.id).unwrap_or_default();
        Self {
            name: instance.view.name.to_string(),
            id: instance.view.id,
            state: instance.view.run_state,
            is_up: instance.is_up,
            boots: instance.boots,
            private_ip: instance.network_interfaces.first().and_then(|first| match &first.ip_stack {
                PrivateIpStack::V4(v4) | PrivateIpStack::DualStack { v4, .. } => Some(v4.ip),
                PrivateIpStack::V6(_) => None,
            }),
            external_ips: external_ips
                .iter()
                .filter_map(|ip| match ip {
                    types::ExternalIp::Ephemeral { ip, .. } | types::ExternalIp::Floating { ip, .. } => Some(*ip),
                    types::ExternalIp::Snat { .. } => None,
                })
                .collect(),
            user_data: instance.user_data.clone(),
        }
    }
}
