//! How many machines of which pool: pure functions of what there is.

use super::{Change, Changes};
use crate::infra::{InfraState, Machine, MachineState, Pool, PoolName};
use crate::model::ModelSpec;
use crate::node::{Capacity, Inventory, Node, NodeName};
use crate::placement::{Load, Need};
use crate::plan::{Cause, Plan, Unplaced};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// More machines, for replicas without a place.
pub(super) struct More {
    pub(super) changes: Changes,
    /// What each of the plan's unplaced is told.
    pub(super) told: Vec<Vec<Note>>,
}

/// What somebody who waits is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// A machine of this pool is on its way.
    Waits(PoolName),
    /// There can be no more of this pool, which has so many.
    AtMost(PoolName, u32),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waits(pool) => write!(f, "waiting for a machine of pool {pool}"),
            Self::AtMost(pool, max) => write!(f, "pool {pool} is at its most machines, {max}"),
        }
    }
}

/// A pool, as far as it matters to a worker.
struct Offer<'a> {
    name: &'a PoolName,
    pool: &'a Pool,
    /// Those of its machines that are nodes. A pool does not say what its machines carry: these do.
    nodes: Vec<&'a Node>,
    /// What a worker finds on a new machine.
    capacity: Capacity,
    /// Machines on their way that were asked for already.
    coming: u32,
}

impl<'a> Offer<'a> {
    fn new(name: &'a PoolName, pool: &'a Pool, overdue: &HashSet<&NodeName>, inventory: &'a Inventory) -> Self {
        let node = |machine: &Machine| inventory.nodes.get(&machine.node).map(Arc::as_ref);
        let nodes: Vec<&Node> = pool.machines.iter().filter_map(node).collect();
        let least = nodes.iter().map(|node| node.capacity.memory).min().unwrap_or(u64::MAX);
        let accelerators = nodes.first().map(|node| node.capacity.accelerators.clone()).unwrap_or_default();
        let capacity = Capacity { memory: pool.machine_memory.min(least), cores: 0, accelerators };
        let arrives = |machine: &&Machine| match machine.state {
            MachineState::Creating => true,
            // One that has run for long and takes no workers is not waited for any more, and one that somebody wants empty
            // never.
            MachineState::Running => {
                !node(machine).is_some_and(|node| node.is_schedulable() || node.is_cordoned())
                    && !overdue.contains(&machine.node)
            }
            MachineState::Removing | MachineState::Failed { .. } => false,
        };
        let arriving = pool.machines.iter().filter(arrives).count();
        let unseen = (pool.desired as usize).saturating_sub(staying(pool).count());
        let coming = u32::try_from(arriving + unseen).unwrap_or(u32::MAX);
        Self { name, pool, nodes, capacity, coming }
    }

    fn fits(&self, spec: &ModelSpec, need: &Need<'_>, load: &Load<'_>) -> bool {
        let selector = &spec.placement.selector;
        let carries = |node: &&Node| selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
        let labelled = selector.is_empty() || (!self.nodes.is_empty() && self.nodes.iter().all(carries));
        let reserved = |node: &&Node| node.is_schedulable() && !node.is_open_to(need.accelerators);
        labelled && !self.nodes.iter().any(reserved) && load.fits(need, &self.capacity)
    }
}

/// Replicas without a place, on machines.
struct Packing {
    /// How many machines of each offer have something on them.
    used: Vec<u32>,
    /// How many replicas are on none.
    left: u32,
    /// What each of the plan's unplaced is told.
    told: Vec<Vec<Note>>,
}

/// Packs what has no place: the largest worker first, each onto the first machine where it fits, and else onto another one of
/// the pool with the smallest that would do. A pool has as many machines as `limit` says.
fn pack(offers: &[Offer<'_>], plan: &Plan, limit: impl Fn(&Offer<'_>) -> u32) -> Packing {
    let mut packing = Packing { used: vec![0; offers.len()], left: 0, told: vec![Vec::new(); plan.unplaced.len()] };
    let mut machines: Vec<(usize, Load<'_>)> = Vec::new();
    let mut waiting: Vec<(usize, &Unplaced)> =
        plan.unplaced.iter().enumerate().filter(|(_, unplaced)| machine_helps(unplaced)).collect();
    waiting.sort_by_key(|(_, unplaced)| Reverse(unplaced.memory));
    for (index, unplaced) in waiting {
        let need = Need { memory: unplaced.memory, accelerators: unplaced.spec.placement.accelerators.as_ref() };
        let fits = |at: usize, load: &Load<'_>| offers[at].fits(&unplaced.spec, &need, load);
        let suitable: Vec<usize> = (0..offers.len()).filter(|&at| fits(at, &Load::default())).collect();
        let mut first = 0;
        for placed in 0..unplaced.replicas {
            // What did not fit the one before does not fit its like.
            first += machines[first..].iter().take_while(|(at, load)| !fits(*at, load)).count();
            if first == machines.len() {
                let Some(&at) = suitable.iter().find(|&&at| packing.used[at] < limit(&offers[at])) else {
                    let full = suitable.first().map(|&at| &offers[at]);
                    packing.told[index].extend(full.map(|offer| Note::AtMost(offer.name.clone(), offer.pool.max)));
                    packing.left = packing.left.saturating_add(unplaced.replicas - placed);
                    break;
                };
                packing.used[at] += 1;
                machines.push((at, Load::default()));
            }
            let (at, load) = &mut machines[first];
            load.add(&need);
            let waits = Note::Waits(offers[*at].name.clone());
            if !packing.told[index].contains(&waits) {
                packing.told[index].push(waits);
            }
        }
    }
    packing
}

/// What more machines there shall be for what has no place. None where those that are coming hold as much of it as all could.
///
/// Why is nothing packed onto machines that are coming before new ones are thought of? The next look, at which the new ones
/// are among those that are coming, would pack otherwise, and now and then ask for one more. So it is the same whether they
/// are asked for already or not.
pub(super) fn more(state: &InfraState, overdue: &HashSet<&NodeName>, plan: &Plan, inventory: &Inventory) -> More {
    let mut offers: Vec<Offer<'_>> =
        state.pools.iter().map(|(name, pool)| Offer::new(name, pool, overdue, inventory)).collect();
    offers.sort_by_key(|offer| (offer.capacity.memory, offer.name));
    let coming = pack(&offers, plan, |offer| offer.coming);
    let all =
        pack(&offers, plan, |offer| offer.coming.saturating_add(offer.pool.max.saturating_sub(offer.pool.desired)));
    if coming.left <= all.left {
        return More { changes: Changes::new(), told: coming.told };
    }
    let change = |(offer, used): (&Offer<'_>, &u32)| {
        let Pool { desired, min, .. } = *offer.pool;
        let new = used.saturating_sub(offer.coming);
        let to = desired.saturating_add(new).max(min);
        (new > 0).then(|| (offer.name.clone(), Change { from: desired, to }))
    };
    More { changes: offers.iter().zip(&all.used).filter_map(change).collect(), told: all.told }
}

/// Pools with fewer machines: as many fewer as have had no worker for long, `overdue` ones.
pub(super) fn fewer(state: &InfraState, overdue: &HashSet<&NodeName>) -> BTreeMap<PoolName, Change> {
    let change = |(name, pool): (&PoolName, &Pool)| {
        let idle = staying(pool).filter(|machine| overdue.contains(&machine.node)).count();
        // As many as are there beyond the number that was last asked for go already.
        let going = staying(pool).count().saturating_sub(pool.desired as usize);
        let more = u32::try_from(idle.saturating_sub(going)).unwrap_or(u32::MAX);
        let to = pool.desired.saturating_sub(more).max(pool.min);
        (to < pool.desired).then(|| (name.clone(), Change { from: pool.desired, to }))
    };
    state.pools.iter().filter_map(change).collect()
}

fn staying(pool: &Pool) -> impl Iterator<Item = &Machine> {
    pool.machines.iter().filter(|machine| machine.state != MachineState::Removing)
}

/// Whether these may go wherever there is a new machine: a pin names another, and what is about to be free needs none.
fn machine_helps(unplaced: &Unplaced) -> bool {
    unplaced.node.is_none() && !matches!(unplaced.cause, Cause::Leaving | Cause::Refused)
}
