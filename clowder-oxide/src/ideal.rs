//! A rack and a cluster on which everything works at once: what a step does when it goes well.

use crate::cluster::Cluster;
use crate::disk::DiskName;
use crate::history::{History, Nodes};
use crate::machine::MachineName;
use crate::observe::{Seen, SeenDisk, SeenFloatingIp, SeenImage, SeenInstance, SeenSnapshot};
use crate::owner::{Part, Tag};
use crate::request::firewall::{api_rule, rule_name};
use crate::request::image::import_name;
use crate::step::Step;
use oxide::types::{self, DiskState, InstanceState, SnapshotState};
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

/// What there is, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Ideal {
    pub(crate) seen: Seen,
    pub(crate) nodes: Nodes,
    made: u32,
}

impl Ideal {
    pub(crate) fn new(seen: Seen, nodes: Nodes) -> Self {
        Self { seen, nodes, made: 0 }
    }

    /// An identity that nothing else has.
    fn id(&mut self) -> Uuid {
        self.made += 1;
        Uuid::from_u128(u128::from(self.made) | (0xC10D_u128 << 96))
    }

    /// An address for show: whoever prints it is asked what it will be before anybody knows.
    fn address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(192, 0, 2, 0).to_bits() + self.made % 255))
    }

    pub(crate) fn take(&mut self, cluster: &Cluster, step: &Step, history: &mut History) {
        let id = self.id();
        let tag = |part| Some(Tag { cluster: cluster.spec().id.clone(), part });
        match step {
            Step::CreateProject { .. } => self.seen.project = true,
            Step::CreateImportDisk(image) => self.seen.disks.push(SeenDisk {
                id,
                name: import_name(cluster.spec(), &image.name),
                tag: tag(Part::Image),
                state: DiskState::ImportReady,
            }),
            Step::WriteImage { image, disk } => {
                self.disk(*disk, &DiskState::Detached);
                self.seen.snapshots.push(SeenSnapshot {
                    id,
                    name: import_name(cluster.spec(), &image.name),
                    disk: *disk,
                    state: SnapshotState::Ready,
                });
            }
            Step::CreateImage { image, .. } => {
                self.seen.images.push(SeenImage { id, name: image.clone(), size: 0, own: true });
            }
            Step::StopImport { disk, .. } => self.disk(*disk, &DiskState::ImportReady),
            Step::AbandonImport { disk, .. } => self.disk(*disk, &DiskState::Detached),
            Step::DeleteSnapshot { snapshot, .. } => self.seen.snapshots.retain(|seen| seen.id != *snapshot),
            Step::DeleteDisk { disk, .. } => self.seen.disks.retain(|seen| seen.id != *disk),
            Step::CreateFloatingIp { name } => {
                let ip = self.address();
                self.seen.floating_ips.push(SeenFloatingIp {
                    id,
                    name: name.clone(),
                    tag: tag(Part::Network),
                    ip,
                    instance: None,
                });
            }
            Step::CreateGroup { name } => self.seen.groups.push((name.clone(), tag(Part::Network))),
            Step::SetFirewall { servers } => self.firewall(cluster, servers, id),
            Step::AttachFloatingIp { id, instance, .. } => self.floating_ip(*id, Some(*instance)),
            Step::DetachFloatingIp { id, .. } => self.floating_ip(*id, None),
            Step::CreateMachine { machine, part, .. } => self.create(cluster, machine, part, id),
            Step::Start(target) => self.start(target.id),
            Step::Stop(target) => self.stop(target.id),
            Step::Delete(target) => self.delete(cluster, target.id),
            Step::Cordon(node) => {
                if let Some(status) = self.nodes.as_mut().and_then(|nodes| nodes.get_mut(node)) {
                    status.cordoned = true;
                }
            }
            Step::Drain(node) => history.drained(node.clone()),
            Step::RemoveNode(node) => drop(self.nodes.as_mut().and_then(|nodes| nodes.remove(node))),
        }
    }

    fn disk(&mut self, id: Uuid, state: &DiskState) {
        self.seen.disks.iter_mut().filter(|disk| disk.id == id).for_each(|disk| disk.state = state.clone());
    }

    fn floating_ip(&mut self, id: Uuid, instance: Option<Uuid>) {
        self.seen.floating_ips.iter_mut().filter(|ip| ip.id == id).for_each(|ip| ip.instance = instance);
    }

    fn firewall(&mut self, cluster: &Cluster, servers: &[String], id: Uuid) {
        let name = rule_name(cluster.spec());
        self.seen.rules.retain(|rule| *rule.name != *name);
        let Ok(rule) = api_rule(cluster.spec(), servers.iter().cloned()) else { return };
        let time = Default::default();
        self.seen.rules.push(types::VpcFirewallRule {
            action: rule.action,
            description: rule.description,
            direction: rule.direction,
            filters: rule.filters,
            id,
            name: rule.name,
            priority: rule.priority,
            status: rule.status,
            targets: rule.targets,
            time_created: time,
            time_modified: time,
            vpc_id: id,
        });
    }

    fn create(&mut self, cluster: &Cluster, machine: &MachineName, part: &Part, id: Uuid) {
        let Some(pool) = cluster.machines(part) else { return };
        let tag = Some(Tag { cluster: cluster.spec().id.clone(), part: part.clone() });
        self.seen.instances.push(SeenInstance {
            id,
            name: machine.to_string(),
            tag: tag.clone(),
            state: InstanceState::Creating,
            vcpus: pool.spec().vcpus,
            memory: u64::from(pool.spec().memory_gib) << 30,
        });
        for (disk, _) in pool.disks(machine) {
            let disk_id = self.id();
            self.seen.disks.push(SeenDisk {
                id: disk_id,
                name: disk.to_string(),
                tag: tag.clone(),
                state: DiskState::Attached(id),
            });
        }
        let address = self.address();
        self.seen.addresses.insert(id, address);
        self.start(id);
    }

    fn start(&mut self, id: Uuid) {
        let Some(instance) = self.seen.instances.iter_mut().find(|instance| instance.id == id) else { return };
        instance.state = InstanceState::Running;
        let node = clowder_core::NodeName(instance.name.clone());
        self.nodes.get_or_insert_default().entry(node).or_default().ready = true;
    }

    fn stop(&mut self, id: Uuid) {
        let Some(instance) = self.seen.instances.iter_mut().find(|instance| instance.id == id) else { return };
        instance.state = InstanceState::Stopped;
        let node = clowder_core::NodeName(instance.name.clone());
        if let Some(status) = self.nodes.as_mut().and_then(|nodes| nodes.get_mut(&node)) {
            status.ready = false;
        }
    }

    fn delete(&mut self, cluster: &Cluster, id: Uuid) {
        let Some(position) = self.seen.instances.iter().position(|instance| instance.id == id) else { return };
        let gone = self.seen.instances.remove(position);
        for part in cluster.parts() {
            let Some(pool) = cluster.machines(&part) else { continue };
            let its = |disk: &SeenDisk| {
                let name = DiskName::parse(&pool.spec().prefix, &disk.name);
                name.is_some_and(|name| name.machine().to_string() == gone.name)
            };
            self.seen.disks.iter_mut().filter(|disk| its(disk)).for_each(|disk| disk.state = DiskState::Detached);
        }
    }
}
