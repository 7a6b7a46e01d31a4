//! What is left of machines that are gone.

use super::servers::may_lose;
use super::{Plan, View};
use crate::disk::DiskName;
use crate::machine::MachineName;
use crate::owner::{Part, Tag};
use crate::step::Step;
use oxide::types::DiskState;
use std::collections::BTreeSet;

pub(super) fn plan(view: &View<'_>, plan: &mut Plan) {
    foreign(view, plan);
    forgotten(view, plan);
    // Whoever has an instance's name has its node, too.
    let there: BTreeSet<&str> = view.seen.instances.iter().map(|instance| instance.name.as_str()).collect();
    for part in view.cluster.parts() {
        disks(view, &part, plan);
        nodes(view, &part, &there, plan);
    }
}

/// What bears a name of the cluster's and not its tag.
fn foreign(view: &View<'_>, plan: &mut Plan) {
    for part in view.cluster.parts() {
        let Some(pool) = view.cluster.machines(&part) else { continue };
        let prefix = &pool.spec().prefix;
        let instances = view.seen.instances.iter().filter(|one| MachineName::parse(prefix, &one.name).is_some());
        let instances = instances.map(|one| ("machine", &one.name, one.tag.as_ref()));
        let disks = view.seen.disks.iter().filter(|one| DiskName::parse(prefix, &one.name).is_some());
        let disks = disks.map(|one| ("disk", &one.name, one.tag.as_ref()));
        for (what, name, tag) in instances.chain(disks) {
            if !view.cluster.owns(tag, &part) {
                plan.notes
                    .push(format!("{what} {name} is not the cluster's: it is left alone, and its name is not used"));
            }
        }
    }
}

/// Machines of pools that are not described any more: perhaps somebody only left them out.
fn forgotten(view: &View<'_>, plan: &mut Plan) {
    for instance in &view.seen.instances {
        let Some(Tag { cluster, part: Part::Pool(pool) }) = &instance.tag else { continue };
        if *cluster == view.cluster.spec().id && !view.cluster.pools().contains_key(pool) {
            plan.notes.push(format!(
                "machine {} is of pool {pool}, which the cluster has no more: it is left as it is",
                instance.name
            ));
        }
    }
}

fn disks(view: &View<'_>, part: &Part, plan: &mut Plan) {
    let Some(pool) = view.cluster.machines(part) else { return };
    let own: BTreeSet<MachineName> = view.seen.machines(view.cluster, part).map(|(machine, _)| machine).collect();
    for disk in view.seen.disks.iter().filter(|disk| view.cluster.owns(disk.tag.as_ref(), part)) {
        let Some(name) = DiskName::parse(&pool.spec().prefix, &disk.name) else { continue };
        if own.contains(name.machine()) {
            continue;
        }
        match disk.state {
            DiskState::Detached | DiskState::Faulted => {
                plan.step(Step::DeleteDisk { disk: disk.id, name: disk.name.clone() });
            }
            DiskState::Destroyed => {}
            _ => plan.wait(format!("disk {} to come loose from a machine that is gone", disk.name)),
        }
    }
}

/// Only such as do not answer: one that does has a machine, if not one that is seen.
fn nodes(view: &View<'_>, part: &Part, there: &BTreeSet<&str>, plan: &mut Plan) {
    let Some(pool) = view.cluster.machines(part) else { return };
    if view.seen.machines(view.cluster, &Part::Servers).next().is_none() {
        // Whose cluster it is that answers is not known.
        return;
    }
    for (node, status) in view.nodes.iter().flatten() {
        let ours = MachineName::parse(&pool.spec().prefix, &node.0).is_some();
        let lost = ours && !status.ready && !there.contains(node.0.as_str());
        if lost && (*part != Part::Servers || may_lose(view, node)) {
            plan.step(Step::RemoveNode(node.clone()));
        }
    }
}
