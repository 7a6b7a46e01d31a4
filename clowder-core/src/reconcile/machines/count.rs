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
            // One that has run for long and takes no workers is not waited for any more.
            MachineState::Running => {
                !node(machine).is_some_and(|node| node.schedulable) && !overdue.contains(&machine.node)
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
        labelled && load.fits(need, &self.capacity)
    }
}

/// The machines that would hold what has no place: the largest worker first, each onto the first machine where it fits, and
/// else onto a new one of the pool with the smallest that would do. Those that are coming are filled before there are new
/// ones.
pub(super) fn more(state: &InfraState, overdue: &HashSet<&NodeName>, plan: &Plan, inventory: &Inventory) -> More {
    let mut offers: Vec<Offer<'_>> =
        state.pools.iter().map(|(name, pool)| Offer::new(name, pool, overdue, inventory)).collect();
    offers.sort_by_key(|offer| (offer.capacity.memory, offer.name));
    let coming = |(at, offer): (usize, &Offer<'_>)| (0..offer.coming).map(move |_| (at, Load::default()));
    let mut machines: Vec<(usize, Load<'_>)> = offers.iter().enumerate().flat_map(coming).collect();
    let mut new: Vec<u32> = vec![0; offers.len()];
    let mut told = vec![Vec::new(); plan.unplaced.len()];

    let mut waiting: Vec<(usize, &Unplaced)> =
        plan.unplaced.iter().enumerate().filter(|(_, unplaced)| machine_helps(unplaced)).collect();
    waiting.sort_by_key(|(_, unplaced)| Reverse(unplaced.memory));
    for (index, unplaced) in waiting {
        let need = Need { memory: unplaced.memory, accelerators: unplaced.spec.placement.accelerators.as_ref() };
        let fits = |at: usize, load: &Load<'_>| offers[at].fits(&unplaced.spec, &need, load);
        let mut first = 0;
        for _ in 0..unplaced.replicas {
            // The same again fits no machine that it did not fit before.
            first += machines[first..].iter().take_while(|(at, load)| !fits(*at, load)).count();
            if first == machines.len() {
                let mut suitable = (0..offers.len()).filter(|&at| fits(at, &Load::default())).peekable();
                let smallest = suitable.peek().copied();
                let may_grow = |at: &usize| offers[*at].pool.desired.saturating_add(new[*at]) < offers[*at].pool.max;
                match (suitable.find(may_grow), smallest) {
                    (Some(at), _) => {
                        new[at] += 1;
                        machines.push((at, Load::default()));
                    }
                    (None, smallest) => {
                        let full = smallest.map(|at| Note::AtMost(offers[at].name.clone(), offers[at].pool.max));
                        told[index].extend(full);
                        break;
                    }
                }
            }
            let (at, load) = &mut machines[first];
            load.add(&need);
            let waits = Note::Waits(offers[*at].name.clone());
            if !told[index].contains(&waits) {
                told[index].push(waits);
            }
        }
    }
    let grown = offers.iter().zip(new).filter(|&(_, new)| new > 0);
    let change = |offer: &Offer<'_>, new| Change {
        from: offer.pool.desired,
        to: offer.pool.desired.saturating_add(new).max(offer.pool.min),
    };
    More { changes: grown.map(|(offer, new)| (offer.name.clone(), change(offer, new))).collect(), told }
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
    unplaced.node.is_none() && unplaced.cause != Cause::Leaving
}
