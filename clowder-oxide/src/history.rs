//! What has been seen and done so far: since when, and how often.
//!
//! It is forgotten with the process. Nothing depends on it but the time at which a harder remedy is taken.

use crate::cluster::Cluster;
use crate::limits::Limits;
use crate::nodes::NodeStatus;
use crate::observe::Seen;
use crate::owner::Part;
use crate::step::Step;
use clowder_core::NodeName;
use oxide::types::InstanceState;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;
use uuid::Uuid;

/// The nodes of a cluster; `None` where it does not answer.
pub(crate) type Nodes = Option<BTreeMap<NodeName, NodeStatus>>;

/// What is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Instances: in which state they are, and since when.
    states: BTreeMap<Uuid, (InstanceState, Instant)>,
    /// Instances that run and whose nodes are not ready, since when.
    unready: BTreeMap<Uuid, Instant>,
    /// Since when the cluster does not answer.
    silent: Option<Instant>,
    /// Whether it ever did.
    answered: bool,
    /// Machines that are to go.
    condemned: BTreeMap<Uuid, Condemned>,
    /// Nodes that were emptied.
    drained: BTreeSet<NodeName>,
    /// Steps that were taken and are due once more.
    taken: BTreeMap<Step, Taken>,
    /// How many machines of a part were replaced since all of them were ready.
    replaced: BTreeMap<Part, u32>,
    /// Nodes that were deleted, of machines that are still there.
    removed: BTreeSet<NodeName>,
    /// Who had the API server's address before, and since when another has it.
    address: Option<(Uuid, Instant)>,
    /// Disks of imports into which nothing has been written; `None` before the first look.
    imports: Option<Imports>,
}

/// Why and since when a machine is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condemned {
    pub(crate) since: Instant,
    pub(crate) why: Why,
}

/// Why a machine is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// There are more than shall be.
    Surplus,
    /// Another is to take its place, for this reason.
    Replaced(String),
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) times: u32,
    pub(crate) again_at: Instant,
    /// Why it failed, where it did; otherwise it did not help.
    pub(crate) failure: Option<Failure>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// In one line.
    pub(crate) reason: String,
    /// Whether there was no room for it, which no other remedy makes.
    pub(crate) for_want_of_room: bool,
}

#[derive(Clone, Debug, Default)]
struct Imports {
    /// Those that were there at the first look, and those that were written to.
    used: BTreeSet<Uuid>,
    /// Those that are being written to.
    writing: BTreeSet<Uuid>,
    /// Images that could not be written, by name.
    failed: BTreeMap<String, Taken>,
}

impl History {
    /// Notes what is seen at this time, and forgets what is gone.
    pub(crate) fn observe(&mut self, cluster: &Cluster, seen: &Seen, nodes: &Nodes, now: Instant) {
        let mut states = BTreeMap::new();
        let mut unready = BTreeMap::new();
        let mut names = BTreeSet::new();
        for part in cluster.parts() {
            let mut staying = Vec::new();
            for (machine, instance) in seen.machines(cluster, &part) {
                let since = self.states.get(&instance.id).filter(|(state, _)| *state == instance.state);
                states.insert(instance.id, since.copied().unwrap_or((instance.state, now)));
                let ready = nodes.as_ref().and_then(|nodes| nodes.get(&machine.node())).is_some_and(|node| node.ready);
                if !self.condemned.contains_key(&instance.id) {
                    staying.push(ready);
                }
                names.insert(machine.node());
                if instance.state == InstanceState::Running && !ready {
                    unready.insert(instance.id, self.unready.get(&instance.id).copied().unwrap_or(now));
                }
            }
            if !staying.is_empty() && staying.iter().all(|ready| *ready) {
                self.replaced.remove(&part);
            }
        }
        self.removed.retain(|node| names.contains(node));
        self.condemned.retain(|id, _| states.contains_key(id));
        (self.states, self.unready) = (states, unready);
        self.silent = nodes.is_none().then(|| self.silent.unwrap_or(now));
        if let Some(nodes) = nodes {
            self.answered = true;
            self.drained.retain(|node| nodes.contains_key(node));
        }
        let disks: BTreeSet<Uuid> = seen.disks.iter().map(|disk| disk.id).collect();
        match &mut self.imports {
            Some(imports) => {
                imports.used.retain(|disk| disks.contains(disk));
                imports.failed.retain(|image, _| seen.image(image).is_none());
            }
            None => self.imports = Some(Imports { used: disks, ..Imports::default() }),
        }
    }

    /// Since when an instance is in the state that it is in.
    pub(crate) fn in_state(&self, instance: Uuid) -> Option<Instant> {
        self.states.get(&instance).map(|(_, since)| *since)
    }

    /// Since when an instance runs without a ready node.
    pub(crate) fn unready(&self, instance: Uuid) -> Option<Instant> {
        self.unready.get(&instance).copied()
    }

    /// Since when the cluster does not answer.
    pub(crate) fn silent(&self) -> Option<Instant> {
        self.silent
    }

    /// Whether the cluster ever answered.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered
    }

    pub(crate) fn condemned(&self, instance: Uuid) -> Option<&Condemned> {
        self.condemned.get(&instance)
    }

    /// A machine is to go, from now on.
    pub(crate) fn condemn(&mut self, instance: Uuid, part: Part, why: Why, now: Instant) {
        if self.condemned.contains_key(&instance) {
            return;
        }
        if matches!(why, Why::Replaced(_)) {
            let replaced = self.replaced.entry(part).or_default();
            *replaced = replaced.saturating_add(1);
        }
        self.condemned.insert(instance, Condemned { since: now, why });
    }

    /// How many machines of a part were replaced since all of them were ready.
    pub(crate) fn replaced(&self, part: &Part) -> u32 {
        self.replaced.get(part).copied().unwrap_or_default()
    }

    /// Whether the node of a machine that is to go was deleted already. Its kubelet may have brought it back.
    pub(crate) fn is_removed(&self, node: &NodeName) -> bool {
        self.removed.contains(node)
    }

    /// Who had the API server's address before whoever has it, and since when.
    pub(crate) fn address(&self) -> Option<(Uuid, Instant)> {
        self.address
    }

    pub(crate) fn is_drained(&self, node: &NodeName) -> bool {
        self.drained.contains(node)
    }

    pub(crate) fn drained(&mut self, node: NodeName) {
        self.drained.insert(node);
    }

    /// Whether something may have been written to the disk of an import.
    pub(crate) fn is_used(&self, disk: Uuid) -> bool {
        self.imports.as_ref().is_none_or(|imports| imports.used.contains(&disk))
    }

    /// An image is being written to this disk, until that step was taken.
    pub(crate) fn writes(&mut self, disk: Uuid) {
        let imports = self.imports.get_or_insert_default();
        imports.used.insert(disk);
        imports.writing.insert(disk);
    }

    pub(crate) fn is_writing(&self, disk: Uuid) -> bool {
        self.imports.as_ref().is_some_and(|imports| imports.writing.contains(&disk))
    }

    /// How often an image could not be written, and when it is tried again.
    pub(crate) fn unwritten(&self, image: &str) -> Option<&Taken> {
        self.imports.as_ref().and_then(|imports| imports.failed.get(image))
    }

    pub(crate) fn taken(&self, step: &Step) -> Option<&Taken> {
        self.taken.get(step)
    }

    /// A step was taken. Planned again, it waits.
    pub(crate) fn took(&mut self, step: &Step, failure: Option<Failure>, limits: &Limits, now: Instant) {
        match (step, &mut self.imports) {
            (Step::WriteImage { image, disk }, Some(imports)) => {
                imports.writing.remove(disk);
                if failure.is_some() {
                    take(imports.failed.entry(image.name.clone()), failure.clone(), limits, now);
                }
            }
            (Step::RemoveNode(node), _) if failure.is_none() => drop(self.removed.insert(node.clone())),
            (Step::DetachFloatingIp { from, .. }, _) => self.address = Some((*from, now)),
            _ => {}
        }
        take(self.taken.entry(step.clone()), failure, limits, now);
    }

    /// Steps that are not wanted any more have helped, or something else has.
    pub(crate) fn retain(&mut self, wanted: &BTreeSet<Step>) {
        self.taken.retain(|step, _| wanted.contains(step));
    }
}

fn take<K: Ord>(entry: Entry<'_, K, Taken>, failure: Option<Failure>, limits: &Limits, now: Instant) {
    let taken = entry.or_insert(Taken { times: 0, again_at: now, failure: None });
    taken.times = taken.times.saturating_add(1);
    taken.again_at = now + limits.again.wait(taken.times);
    taken.failure = failure;
}
