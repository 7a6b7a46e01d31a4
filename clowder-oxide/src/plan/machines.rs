//! The machines of a part of the cluster.

use super::View;
use super::health::{Health, health};
use crate::disk::DiskName;
use crate::history::Condemned;
use crate::machine::{MachineName, free_ordinals};
use crate::nodes::NodeStatus;
use crate::observe::SeenInstance;
use crate::owner::Part;
use crate::step::Target;

/// A machine that exists and is the cluster's.
#[derive(Clone, Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) part: &'a Part,
    pub(crate) name: MachineName,
    pub(crate) instance: &'a SeenInstance,
    /// Its node; `None` also where the cluster does not answer.
    pub(crate) node: Option<NodeStatus>,
    pub(crate) condemned: Option<&'a Condemned>,
}

impl Machine<'_> {
    pub(crate) fn target(&self) -> Target {
        Target { machine: self.name.clone(), id: self.instance.id }
    }

    pub(crate) fn is_ready(&self, view: &View<'_>) -> bool {
        health(view, self) == Health::Ready
    }

    /// What it has that is not as it shall be.
    pub(super) fn drift(&self, view: &View<'_>) -> Option<String> {
        let spec = view.cluster.machines(self.part)?.spec();
        let memory = u64::from(spec.memory_gib) << 30;
        let same = self.instance.vcpus == spec.vcpus && self.instance.memory == memory;
        (!same).then(|| {
            let (vcpus, gib) = (self.instance.vcpus, self.instance.memory >> 30);
            format!("has {vcpus} vCPUs and {gib} GiB instead of {} and {}", spec.vcpus, spec.memory_gib)
        })
    }
}

/// The machines of a part, by ordinal.
pub(crate) fn machines<'a>(view: &View<'a>, part: &'a Part) -> Vec<Machine<'a>> {
    let found = view.seen.machines(view.cluster, part);
    let mut machines: Vec<Machine<'a>> = found
        .map(|(name, instance)| Machine {
            part,
            node: view.nodes.as_ref().and_then(|nodes| nodes.get(&name.node())).copied(),
            condemned: view.history.condemned(instance.id),
            name,
            instance,
        })
        .collect();
    machines.sort_by(|a, b| a.name.cmp(&b.name));
    machines
}

/// Names for new machines of a part: none that an instance, a disk or a node bears, whosever it is.
pub(super) fn free_names<'a>(view: &'a View<'a>, part: &Part) -> impl Iterator<Item = MachineName> + 'a {
    let prefix = view.cluster.machines(part).map(|pool| pool.spec().prefix.clone());
    let prefix = prefix.unwrap_or_default();
    let instances = view.seen.instances.iter().filter_map(|instance| MachineName::parse(&prefix, &instance.name));
    let disks = view.seen.disks.iter().filter_map(|disk| DiskName::parse(&prefix, &disk.name));
    let nodes = view.nodes.iter().flatten().filter_map(|(node, _)| MachineName::parse(&prefix, &node.0));
    let machines = instances.chain(disks.map(|disk| disk.machine().clone())).chain(nodes);
    let taken: Vec<u32> = machines.map(|machine| machine.ordinal()).collect();
    free_ordinals(taken).filter_map(move |ordinal| MachineName::new(prefix.clone(), ordinal).ok())
}
