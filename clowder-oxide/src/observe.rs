//! What there is on the rack, as far as a cluster is concerned.

use crate::cluster::Cluster;
use crate::error::OxideError;
use crate::machine::MachineName;
use crate::owner::{Part, Tag};
use crate::rack::Rack;
use crate::request::network::floating_ip_name;
use futures::future::try_join_all;
use oxide::types::{self, DiskState, InstanceState, SnapshotState};
use std::collections::BTreeMap;
use std::net::IpAddr;
use uuid::Uuid;

/// All that is looked at, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether the project exists; where it does not, there are images of the silo and nothing else.
    pub(crate) project: bool,
    /// Everybody's instances.
    pub(crate) instances: Vec<SeenInstance>,
    /// Everybody's disks.
    pub(crate) disks: Vec<SeenDisk>,
    /// Images of the project and its silo.
    pub(crate) images: Vec<SeenImage>,
    /// Everybody's snapshots.
    pub(crate) snapshots: Vec<SeenSnapshot>,
    /// Everybody's floating IPs.
    pub(crate) floating_ips: Vec<SeenFloatingIp>,
    /// Everybody's anti-affinity groups: name and tag.
    pub(crate) groups: Vec<(String, Option<Tag>)>,
    /// Everybody's rules of the VPC's firewall.
    pub(crate) rules: Vec<types::VpcFirewallRule>,
    /// Addresses inside the VPC of the cluster's servers that run.
    pub(crate) addresses: BTreeMap<Uuid, IpAddr>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenInstance {
    /// Its identity.
    pub(crate) id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) tag: Option<Tag>,
    /// Where it stands.
    pub(crate) state: InstanceState,
    /// Its vCPUs.
    pub(crate) vcpus: u16,
    /// Its memory, in bytes.
    pub(crate) memory: u64,
}

/// A disk.
#[derive(Clone, Debug)]
pub(crate) struct SeenDisk {
    /// Its identity.
    pub(crate) id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) tag: Option<Tag>,
    /// Where it stands.
    pub(crate) state: DiskState,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenImage {
    /// Its identity.
    pub(crate) id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Its size, in bytes.
    pub(crate) size: u64,
    /// Whether it is the project's own, which goes before one of the silo with the same name.
    pub(crate) own: bool,
}

/// A snapshot of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenSnapshot {
    /// Its identity.
    pub(crate) id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Of which disk it is.
    pub(crate) disk: Uuid,
    /// Where it stands.
    pub(crate) state: SnapshotState,
}

/// A floating IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenFloatingIp {
    /// Its identity.
    pub(crate) id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Whose it is.
    pub(crate) tag: Option<Tag>,
    /// The address.
    pub(crate) ip: IpAddr,
    /// The instance it leads to.
    pub(crate) instance: Option<Uuid>,
}

impl Seen {
    /// The instances of one part of the cluster: they have its tag and a name of its machines.
    pub(crate) fn machines<'a>(
        &'a self,
        cluster: &'a Cluster,
        part: &'a Part,
    ) -> impl Iterator<Item = (MachineName, &'a SeenInstance)> {
        let prefix = cluster.machines(part).map(|pool| &pool.spec().prefix);
        let living = self.instances.iter().filter(|instance| instance.state != InstanceState::Destroyed);
        living
            .filter(|instance| cluster.owns(instance.tag.as_ref(), part))
            .filter_map(move |instance| Some((MachineName::parse(prefix?, &instance.name)?, instance)))
    }

    /// The address of the API server, if there is one.
    pub(crate) fn own_floating_ip(&self, cluster: &Cluster) -> Option<&SeenFloatingIp> {
        let name = floating_ip_name(cluster.spec());
        let mut owned = self.floating_ips.iter().filter(|ip| cluster.owns(ip.tag.as_ref(), &Part::Network));
        owned.find(|ip| ip.name == name)
    }

    /// The image of a name: the project's own before the silo's.
    pub(crate) fn image(&self, name: &str) -> Option<&SeenImage> {
        self.images.iter().filter(|image| image.name == name).max_by_key(|image| image.own)
    }
}

/// Looks at everything there is. It changes nothing.
///
/// # Errors
/// [`OxideError`], for the first list that cannot be had.
pub(crate) async fn observe(rack: &Rack, cluster: &Cluster) -> Result<Seen, OxideError> {
    if rack.find_project().await?.is_none() {
        let images = rack.silo_images().await?.iter().map(image).collect();
        return Ok(Seen { images, ..Seen::default() });
    }
    let (instances, disks, images, silo_images, snapshots, floating_ips, groups, rules) = futures::try_join!(
        rack.instances(),
        rack.disks(),
        rack.images(),
        rack.silo_images(),
        rack.snapshots(),
        rack.floating_ips(),
        rack.groups(),
        rack.firewall(),
    )?;
    let mut seen = Seen {
        project: true,
        instances: instances.iter().map(instance).collect(),
        disks: disks.iter().map(disk).collect(),
        images: images.iter().chain(&silo_images).map(image).collect(),
        snapshots: snapshots.iter().map(snapshot).collect(),
        floating_ips: floating_ips.iter().map(floating_ip).collect(),
        groups: groups.into_iter().map(|group| (group.name.to_string(), tag(&group.description))).collect(),
        rules,
        addresses: BTreeMap::new(),
    };
    let running = seen.machines(cluster, &Part::Servers).filter(|(_, server)| server.state == InstanceState::Running);
    let servers: Vec<Uuid> = running.map(|(_, server)| server.id).collect();
    let addresses = try_join_all(servers.iter().map(|server| rack.address(*server))).await?;
    seen.addresses = servers.into_iter().zip(addresses).filter_map(|(id, address)| Some((id, address?))).collect();
    Ok(seen)
}

fn tag(description: &str) -> Option<Tag> {
    Tag::of(description).ok()
}

fn instance(instance: &types::Instance) -> SeenInstance {
    SeenInstance {
        id: instance.id,
        name: instance.name.to_string(),
        tag: tag(&instance.description),
        state: instance.run_state,
        vcpus: instance.ncpus.0,
        memory: instance.memory.0,
    }
}

fn disk(disk: &types::Disk) -> SeenDisk {
    SeenDisk { id: disk.id, name: disk.name.to_string(), tag: tag(&disk.description), state: disk.state.clone() }
}

fn image(image: &types::Image) -> SeenImage {
    SeenImage { id: image.id, name: image.name.to_string(), size: image.size.0, own: image.project_id.is_some() }
}

fn snapshot(snapshot: &types::Snapshot) -> SeenSnapshot {
    SeenSnapshot { id: snapshot.id, name: snapshot.name.to_string(), disk: snapshot.disk_id, state: snapshot.state }
}

fn floating_ip(ip: &types::FloatingIp) -> SeenFloatingIp {
    SeenFloatingIp {
        id: ip.id,
        name: ip.name.to_string(),
        tag: tag(&ip.description),
        ip: ip.ip,
        instance: ip.instance_id,
    }
}
