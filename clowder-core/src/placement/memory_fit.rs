//! Places by memory: a worker goes where its weights, KV cache and buffers fit.

use super::{Placement, Wanted};
use crate::model::ModelName;
use crate::node::{Inventory, NodeName};
use crate::plan::{Action, Plan, Unplaced};
use crate::worker::{Worker, WorkerId, WorkerState};
use fill::{Ask, Lack};
use group::{Group, groups};
use place::{Holder, Need, Place};
use replicas::Parted;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

mod clearing;
mod fill;
mod group;
pub(super) mod place;
mod reasons;
mod replicas;
mod seats;

/// Places by memory and accelerators. Where replicas are spread over a label, the value of it with the fewest workers of
/// the same model comes first. Then, among the nodes where a worker fits, one that has the model's file already is
/// preferred, then the one with the fewest workers of the same model, then the one with the most memory left.
///
/// A change of a model's settings replaces its workers: new ones first where there is memory for both and as far as its
/// surge allows, and an old one goes for each new one that serves; where there is not, an old one makes room, one at a
/// time. Where a new one would not fit even without the old ones, these go on serving.
///
/// Workers on a cordoned node that are not pinned there are replaced elsewhere in the same way, within the same surge: each
/// serves until another does, and for as long as none has room. What differs is that their own memory is of no use to who
/// replaces them.
///
/// A worker that its node refused stands for its replica and serves nothing: another is started where there is room now, and
/// nobody goes for that. The node takes no more of the model until one serves; then the refused ones go.
///
/// Replicas on trial are a group of their own beside those under the model's own settings, which come first. Workers of one
/// group beyond what there shall be of it stand in for what the other lacks, like those of an earlier revision: so a trial
/// that begins, grows, ends or becomes the model's own is a rollout, and one that fails takes nothing away.
///
/// A replica that has no room takes that of workers worth less: those that linger beyond what their model's demand needs,
/// then those of models of lower priority, the lowest first. They go where the least valuable and the fewest suffice, and
/// nowhere if not even all of them do. What they leave is promised to who waits for it, and nobody of a lower priority gets
/// in between: so each such step places one more replica of a higher priority for good, and there is a last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFit;

impl Placement for MemoryFit {
    fn plan(&self, wanted: &[Wanted], inventory: &Inventory) -> Plan {
        let mut planning = Planning::new(wanted, inventory);
        planning.models().into_iter().for_each(|groups| planning.model(groups));
        planning.clear_away();
        let Planning { mut stops, starts, unplaced, .. } = planning;
        stops.extend(starts);
        Plan { actions: stops, unplaced }
    }
}

/// The node that a replica is pinned to, if any.
type Pin<'a> = Option<&'a NodeName>;
/// A node, by its place in the order of names.
type PlaceIndex = usize;

/// A plan in the making, and the nodes as they will be.
struct Planning<'a> {
    inventory: &'a Inventory,
    /// Those of the highest priority first, and those of one model together.
    groups: Vec<Group<'a>>,
    places: Vec<Place<'a>>,
    at: HashMap<&'a NodeName, PlaceIndex>,
    leaving: HashSet<&'a WorkerId>,
    stops: Vec<Action>,
    starts: Vec<Action>,
    unplaced: Vec<Unplaced>,
}

impl<'a> Planning<'a> {
    fn new(wanted: &'a [Wanted], inventory: &'a Inventory) -> Self {
        let mut groups: Vec<Group<'a>> = wanted.iter().flat_map(groups).collect();
        groups.sort_by_key(|group| Reverse(group.spec.priority));
        let nodes = inventory.nodes.values().map(Arc::as_ref);
        let mut planning = Self {
            inventory,
            groups,
            at: nodes.clone().enumerate().map(|(at, node)| (&node.name, at)).collect(),
            places: nodes.map(Place::new).collect(),
            leaving: HashSet::new(),
            stops: Vec::new(),
            starts: Vec::new(),
            unplaced: Vec::new(),
        };
        planning.observe();
        planning
    }

    /// The groups of each model.
    fn models(&self) -> Vec<Range<usize>> {
        let mut begin = 0;
        let of_one = self.groups.chunk_by(|one, next| one.spec.name == next.spec.name);
        let range = |groups: &[Group<'_>]| {
            let range = begin..begin + groups.len();
            begin = range.end;
            range
        };
        of_one.map(range).collect()
    }

    /// Finds all workers their groups and nodes, once; those that nobody wants go.
    fn observe(&mut self) {
        let named = |groups: Range<usize>| (&self.groups[groups.start].spec.name, groups);
        let models: HashMap<&ModelName, Range<usize>> = self.models().into_iter().map(named).collect();
        let mut unwanted = Vec::new();
        for worker in self.inventory.workers.values().map(Arc::as_ref) {
            let group = models.get(&worker.model).map(|groups| {
                let of_its_revision = |&group: &usize| self.groups[group].revision == worker.revision;
                groups.clone().find(of_its_revision).unwrap_or(groups.start)
            });
            if worker.holds_memory()
                && let Some(&at) = self.at.get(&worker.node)
            {
                // A worker does not say which accelerators it has: its model does.
                let spec = group.map(|group| self.groups[group].spec);
                let accelerators = spec.and_then(|spec| spec.placement.accelerators.as_ref());
                let need = Need { memory: worker.memory, accelerators };
                match worker.state {
                    WorkerState::Draining | WorkerState::Stopped => self.places[at].drains(&need),
                    _ => self.places[at].hold(Holder { group, need, worker: Some(worker) }),
                }
            }
            match group {
                Some(group) if worker.state.is_live() => self.groups[group].workers.push(worker),
                Some(_) => {}
                None => unwanted.push(worker),
            }
        }
        for worker in unwanted {
            self.stop(worker);
        }
        for group in &mut self.groups {
            // Those on cordoned nodes go anyway: who counted on them would let the ones go that replace them.
            let stays = |worker: &Worker| !is_cordoned(&self.at, &self.places, worker);
            let serves = |worker: &&&Worker| {
                worker.revision == group.revision && worker.state == WorkerState::Ready && stays(worker)
            };
            let serving = u32::try_from(group.workers.iter().filter(serves).count()).unwrap_or(u32::MAX);
            group.lingering = serving.saturating_sub(group.needed).min(group.replicas.saturating_sub(group.needed));
        }
    }

    fn stop(&mut self, worker: &'a Worker) {
        if worker.state.is_live() && self.leaving.insert(&worker.id) {
            self.stops.push(Action::Stop { worker: worker.id.clone() });
            if let Some(&at) = self.at.get(&worker.node) {
                self.places[at].leave(&worker.id);
            }
        }
    }

    /// What a backend keeps of workers that are gone goes, where nobody starts under their names: it may have its memory from
    /// the node still.
    fn clear_away(&mut self) {
        let names: HashSet<&WorkerId> = self.starts.iter().map(Action::worker).collect();
        let gone = self.inventory.workers.values().filter(|worker| worker.state == WorkerState::Stopped);
        let gone = gone.filter(|worker| !names.contains(&worker.id));
        self.stops.extend(gone.map(|worker| Action::Stop { worker: worker.id.clone() }));
    }

    /// One model: which of its workers stay, and which are started for what its groups lack.
    fn model(&mut self, groups: Range<usize>) {
        let spec = self.groups[groups.start].spec;
        let retire: HashSet<&WorkerId> = spec.retire.iter().collect();
        let is_cordoned = |worker: &Worker| is_cordoned(&self.at, &self.places, worker);
        let (mut live, mut replaces) = (0, false);
        let (mut parted, mut beyond, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for group in &self.groups[groups.clone()] {
            replaces |= group.workers.iter().any(|worker| worker.revision != group.revision);
            let stay = group.workers.iter().copied().filter(|worker| !self.leaving.contains(&worker.id));
            let (current, old): (Vec<&Worker>, Vec<&Worker>) =
                stay.partition(|worker| worker.revision == group.revision);
            let mut part = replicas::part(group, current, &retire, is_cordoned);
            replaces |= !part.moving.is_empty();
            live += group.workers.len() - part.refused.len();
            beyond.append(&mut part.beyond);
            others.extend(old);
            parted.push(part);
        }
        // Those under settings that are wanted go last.
        others.splice(0..0, beyond);
        let (mut lacks, mut gone) = (Vec::new(), Vec::new());
        for (group, Parted { keep, go, moving, refused, tries, .. }) in groups.clone().zip(parted) {
            let Group { revision, needed, .. } = self.groups[group];
            let lacking = (needed as usize).saturating_sub(replicas::serving(&keep));
            // What a group has beyond its own is no substitute for what it lacks itself: that is pinned elsewhere.
            let (same, old): (Vec<&Worker>, Vec<&Worker>) =
                others.into_iter().partition(|worker| worker.revision == revision);
            let (old, left) = replicas::part_old(old, moving, lacking, is_cordoned);
            others = [same, left].concat();
            // What those on cordoned nodes have is nobody's to take.
            let with_room = old.iter().filter(|worker| !is_cordoned(worker)).count();
            gone.extend(go);
            lacks.push(Lack { group, keep, old, with_room, refused, tries });
        }
        gone.into_iter().chain(others).for_each(|worker| self.stop(worker));
        replaces |= lacks.iter().any(|lack| !lack.old.is_empty());
        let replicas = self.groups[groups].iter().fold(0, |sum, group| sum + group.replicas as usize);
        let most =
            spec.rollout.surge.filter(|_| replaces).map_or(usize::MAX, |surge| replicas.saturating_add(surge as usize));
        self.fill(lacks, retire, most, live);
    }
}

/// Whether a worker is on a node that shall be empty.
fn is_cordoned(at: &HashMap<&NodeName, PlaceIndex>, places: &[Place<'_>], worker: &Worker) -> bool {
    at.get(&worker.node).is_some_and(|&at| places[at].node.is_cordoned())
}

#[cfg(test)]
mod tests;
