//! Which workers of a model stay, and which replicas it lacks.

use super::Pin;
use super::group::Group;
use crate::model::ModelSpec;
use crate::node::{Inventory, NodeName};
use crate::worker::{Worker, WorkerId, WorkerState};
use std::collections::{HashMap, HashSet};

/// The workers of a group's revision, by what becomes of them.
pub(super) struct Parted<'a> {
    /// They stay.
    pub(super) keep: Vec<&'a Worker>,
    /// They go.
    pub(super) go: Vec<&'a Worker>,
    /// They serve and are more than there shall be, and may stand in for those of another group.
    pub(super) beyond: Vec<&'a Worker>,
    /// They are on nodes that shall be empty, and stand in for those that will replace them.
    pub(super) moving: Vec<&'a Worker>,
    /// Their nodes have no room for them. They stay while a replica lacks a worker that serves: they may be taken after all, and
    /// what is there says where not to try again.
    pub(super) refused: Vec<&'a Worker>,
    /// How many more of those there may be.
    pub(super) tries: usize,
}

/// How many nodes a group tries beside one for each replica: what no node takes is not to wait on all of them.
const TRIES: usize = 4;

/// How many refused workers stay while so many replicas lack one that serves.
fn most_refused(lacking: usize) -> usize {
    match lacking {
        0 => 0,
        lacking => lacking + TRIES,
    }
}

/// Parts the workers of a group's revision, which are in the order of their names. One that is pinned to its node stays
/// there, cordoned, refused or not.
pub(super) fn part<'a>(
    group: &Group<'a>,
    mut current: Vec<&'a Worker>,
    retire: &HashSet<&WorkerId>,
    is_cordoned: impl Fn(&Worker) -> bool,
) -> Parted<'a> {
    let retires = |worker: &Worker| retire.contains(&worker.id);
    current.sort_by_key(|worker| (retires(worker), standing(&worker.state)));
    let mut pins = count(group.pinned);
    let (mut keep, mut rest) = (Vec::new(), Vec::new());
    for worker in current {
        match pins.get_mut(&worker.node).filter(|left| **left > 0) {
            Some(left) if !retires(worker) => {
                *left -= 1;
                keep.push(worker);
            }
            _ => rest.push(worker),
        }
    }
    let replicas = group.replicas as usize;
    let pinned_elsewhere: usize = pins.values().sum();
    let anywhere = replicas.saturating_sub(keep.len() + pinned_elsewhere);
    let mut go = keep.split_off(keep.len().min(replicas));
    let (mut refused, rest): (Vec<&Worker>, Vec<&Worker>) =
        rest.into_iter().partition(|worker| worker.refused && !retires(worker));
    let (mut moving, mut rest): (Vec<&Worker>, Vec<&Worker>) =
        rest.into_iter().partition(|worker| is_cordoned(worker) && !retires(worker));
    let stay = rest.iter().take_while(|worker| !retires(worker)).count().min(anywhere);
    go.extend(rest.split_off(stay));
    // A replica that is pinned elsewhere is no reason for them to stay.
    let lacking = anywhere.saturating_sub(serving(&rest));
    go.extend(moving.split_off(moving.len().min(lacking)));
    keep.extend(rest);
    let most = most_refused(lacking.min((group.needed as usize).saturating_sub(serving(&keep))));
    go.extend(refused.split_off(refused.len().min(most)));
    let tries = most - refused.len();
    let (beyond, go) = go.into_iter().partition(|worker| worker.state == WorkerState::Ready && !retires(worker));
    Parted { keep, go, beyond, moving, refused, tries }
}

/// The workers of other revisions and those that are `moving`, parted into those that stay in place of `lacking` current ones
/// and those that go. Those that stay stand the worse the later they come.
///
/// One of another revision stays only if it serves: what it would come to is not wanted any more. One that is moving may be
/// about to serve what nothing else does.
pub(super) fn part_old<'a>(
    old: Vec<&'a Worker>,
    moving: Vec<&'a Worker>,
    lacking: usize,
    is_cordoned: impl Fn(&Worker) -> bool,
) -> (Vec<&'a Worker>, Vec<&'a Worker>) {
    let serves = |worker: &&Worker| worker.state == WorkerState::Ready;
    let (mut old, mut go): (Vec<&Worker>, Vec<&Worker>) = old.into_iter().partition(serves);
    old.sort_by_key(|worker| is_cordoned(worker));
    let (mut stay, begun): (Vec<&Worker>, Vec<&Worker>) = moving.into_iter().partition(serves);
    stay.extend(old.into_iter().chain(begun));
    go.extend(stay.split_off(stay.len().min(lacking)));
    (stay, go)
}

/// One entry for each replica that is missing: the node it is pinned to, if any. Pinned ones first.
pub(super) fn missing<'a>(group: &Group<'a>, keep: &[&Worker]) -> Vec<Pin<'a>> {
    let lacking = (group.needed as usize).saturating_sub(keep.len());
    let mut here = count(keep.iter().map(|worker| &worker.node));
    let mut missing = Vec::new();
    for pin in group.pinned {
        match here.get_mut(pin).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => missing.push(Some(pin)),
        }
    }
    missing.resize(lacking, None);
    missing
}

/// Takes those away that are pinned nowhere, as many as `count` says of how many there are. They are the last ones.
pub(super) fn take_anywhere(replicas: &mut Vec<Pin<'_>>, count: impl FnOnce(usize) -> usize) -> usize {
    let taken = count(replicas.iter().filter(|pin| pin.is_none()).count());
    replicas.truncate(replicas.len() - taken);
    taken
}

/// How many of them serve.
pub(super) fn serving(workers: &[&Worker]) -> usize {
    workers.iter().filter(|worker| worker.state == WorkerState::Ready).count()
}

/// The better a worker stands, the later it goes.
pub(super) fn standing(state: &WorkerState) -> u8 {
    match state {
        WorkerState::Ready => 0,
        WorkerState::Starting => 1,
        WorkerState::Fetching(_) => 2,
        WorkerState::Pending => 3,
        _ => 4,
    }
}

fn count<'n>(names: impl IntoIterator<Item = &'n NodeName>) -> HashMap<&'n NodeName, usize> {
    names.into_iter().fold(HashMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}

/// Names for new workers of a model, those in use left out. The name of one that is gone is free: whoever starts under it
/// clears away what is left.
pub(super) fn names<'a>(
    spec: &'a ModelSpec,
    inventory: &'a Inventory,
    retire: &'a HashSet<&WorkerId>,
) -> impl Iterator<Item = WorkerId> + 'a {
    let revision = spec.revision();
    let there = |id: &WorkerId| inventory.workers.get(id).is_some_and(|worker| worker.state != WorkerState::Stopped);
    let names = (0..).map(move |ordinal| WorkerId::nth(&spec.name, revision, ordinal));
    names.filter(move |id| !there(id) && !retire.contains(id))
}
