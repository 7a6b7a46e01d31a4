//! A machine: its instance, and its disks with it.

use crate::cluster::{ClusterSpec, ExternalIp};
use crate::disk::DiskRole;
use crate::error::OxideError;
use crate::machine::MachineName;
use crate::owner::{Part, Tag};
use crate::pool::MachinePool;
use crate::request::name;
use crate::request::network::group_name;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use oxide::types;
use uuid::Uuid;

/// Bytes of a block of a data disk.
const BLOCK: i64 = 4096;

const GIB: u64 = 1 << 30;

/// What a machine is made of.
pub(crate) struct NewMachine<'a> {
    pub(crate) cluster: &'a ClusterSpec,
    pub(crate) part: Part,
    pub(crate) name: &'a MachineName,
    pub(crate) pool: &'a MachinePool,
    pub(crate) external_ip: ExternalIp,
    pub(crate) image: Uuid,
    /// What the machine runs when it first starts.
    pub(crate) user_data: &'a [u8],
}

/// One request makes a machine whole: the rack takes back the disks of one that it cannot make.
pub(crate) fn instance(machine: &NewMachine<'_>) -> Result<types::InstanceCreate, OxideError> {
    let spec = machine.pool.spec();
    let tag = Tag { cluster: machine.cluster.id.clone(), part: machine.part.clone() };
    let mut disks = machine.pool.disks(machine.name).map(|(disk, size)| {
        let (what, source) = match disk.role() {
            DiskRole::Root => ("Root disk", image_source(machine.image)),
            DiskRole::Data(_) => ("Data disk", blank(BLOCK)?),
        };
        Ok::<_, OxideError>(types::InstanceDiskAttachment::Create {
            description: tag.describe(&format!("{what} of {}", machine.name)),
            disk_backend: types::DiskBackend::Distributed(source),
            name: name(&disk.to_string())?,
            size: size.into(),
        })
    });
    let boot_disk = disks.next().transpose()?;
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    let groups = match machine.part {
        Part::Servers => vec![types::NameOrId::Name(name(&group_name(machine.cluster))?)],
        _ => Vec::new(),
    };
    let external_ips = match machine.external_ip {
        ExternalIp::None => Vec::new(),
        ExternalIp::Ephemeral => vec![types::ExternalIpCreate::Ephemeral {
            pool_selector: types::PoolSelector::Auto { ip_version: Some(types::IpVersion::V4) },
        }],
    };
    let keys = machine.cluster.ssh_keys.iter().map(|key| Ok(types::NameOrId::Name(name(key)?)));
    let host = machine.name.to_string();
    Ok(types::InstanceCreate {
        anti_affinity_groups: groups,
        auto_restart_policy: Some(types::InstanceAutoRestartPolicy::BestEffort),
        boot_disk,
        cpu_platform: None,
        description: tag.describe("Machine of a Clowder cluster"),
        disks,
        enable_jumbo_frames: false,
        external_ips,
        hostname: types::Hostname::try_from(host.as_str())
            .map_err(|_| OxideError::InvalidName { name: host.clone() })?,
        memory: (u64::from(spec.memory_gib) * GIB).into(),
        multicast_groups: Vec::new(),
        name: name(&host)?,
        ncpus: types::InstanceCpuCount(spec.vcpus),
        network_interfaces: interfaces(machine.cluster)?,
        // Null would be all keys of whoever owns the token.
        ssh_public_keys: Some(keys.collect::<Result<_, OxideError>>()?),
        start: true,
        user_data: BASE64_STANDARD.encode(machine.user_data),
    })
}

fn interfaces(cluster: &ClusterSpec) -> Result<types::InstanceNetworkInterfaceAttachment, OxideError> {
    let stack = types::PrivateIpv4StackCreate { ip: types::Ipv4Assignment::Auto, transit_ips: Vec::new() };
    Ok(types::InstanceNetworkInterfaceAttachment::Create(vec![types::InstanceNetworkInterfaceCreate {
        description: "The machine's interface".to_owned(),
        ip_config: types::PrivateIpStackCreate::V4(stack),
        name: name("net0")?,
        subnet_name: name(&cluster.network.subnet)?,
        vpc_name: name(&cluster.network.vpc)?,
    }]))
}

fn image_source(image_id: Uuid) -> types::DiskSource {
    types::DiskSource::Image { image_id, read_only: false }
}

fn blank(block_size: i64) -> Result<types::DiskSource, OxideError> {
    Ok(types::DiskSource::Blank { block_size: super::image::block_size(block_size)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::cluster::tests::spec;
    use clowder_core::infra::PoolName;

    fn made(cluster: &Cluster, part: Part) -> types::InstanceCreate {
        let pool = match &part {
            Part::Pool(pool) => &cluster.pools()[pool],
            _ => cluster.servers(),
        };
        let external_ip = match &part {
            Part::Servers => ExternalIp::Ephemeral,
            _ => ExternalIp::None,
        };
        instance(&NewMachine {
            cluster: cluster.spec(),
            part,
            name: &MachineName::new(pool.spec().prefix.clone(), 1).unwrap(),
            pool,
            external_ip,
            image: Uuid::from_u128(7),
            user_data: b"#cloud-config\n",
        })
        .unwrap()
    }

    #[test]
    fn a_server() {
        insta::assert_json_snapshot!(made(&Cluster::new(spec()).unwrap(), Part::Servers));
    }

    #[test]
    fn a_worker_with_a_data_disk_and_a_key() {
        let mut spec = spec();
        spec.ssh_keys.push("ann".to_owned());
        let cluster = Cluster::new(spec).unwrap();
        insta::assert_json_snapshot!(made(&cluster, Part::Pool(PoolName("workers".to_owned()))));
    }
}
