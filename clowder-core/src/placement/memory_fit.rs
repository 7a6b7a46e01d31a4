//! Places by memory: a worker goes where its weights, KV cache and buffers fit.

use super::{Placement, Wanted};
use crate::model::{ModelName, ModelSpec};
use crate::node::{Inventory, Node, NodeName};
use crate::plan::{Action, Plan, StartWorker, Unplaced};
use crate::worker::{Worker, WorkerId, WorkerState};
use place::{Holder, Need, Place};
use replicas::Parted;
use seats::Seats;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

mod clearing;
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
/// A replica that has no room takes that of workers worth less: those that linger beyond what their model's demand needs,
/// then those of models of lower priority, the lowest first. They go where the least valuable and the fewest suffice, and
/// nowhere if not even all of them do. What they leave is promised to who waits for it, and nobody of a lower priority gets
/// in between: so each such step places one more replica of a higher priority for good, and there is a last one.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFit;

impl Placement for MemoryFit {
    fn plan(&self, wanted: &[Wanted], inventory: &Inventory) -> Plan {
        let mut planning = Planning::new(wanted, inventory);
        (0..planning.models.len()).for_each(|model| planning.model(model));
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
    /// The highest priority first.
    models: Vec<Model<'a>>,
    places: Vec<Place<'a>>,
    at: HashMap<&'a NodeName, PlaceIndex>,
    leaving: HashSet<&'a WorkerId>,
    stops: Vec<Action>,
    starts: Vec<Action>,
    unplaced: Vec<Unplaced>,
}

/// A model in a plan.
struct Model<'a> {
    wanted: &'a Wanted,
    /// Those that live.
    workers: Vec<&'a Worker>,
    /// How many serve beyond what the demand needs.
    lingering: u32,
}

/// What a model asks for each of its replicas.
struct Ask<'a> {
    model: usize,
    spec: &'a Arc<ModelSpec>,
    need: Need<'a>,
    /// Nodes that carry the labels it asks for and take new workers of it, in order.
    open: Vec<PlaceIndex>,
}

impl<'a> Planning<'a> {
    fn new(wanted: &'a [Wanted], inventory: &'a Inventory) -> Self {
        let mut models: Vec<Model<'a>> =
            wanted.iter().map(|wanted| Model { wanted, workers: Vec::new(), lingering: 0 }).collect();
        models.sort_by_key(|model| Reverse(model.wanted.spec.priority));
        let nodes = inventory.nodes.values().map(Arc::as_ref);
        let mut planning = Self {
            inventory,
            models,
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

    /// Finds all workers their models and nodes, once; those that nobody wants go.
    fn observe(&mut self) {
        let names: HashMap<&ModelName, usize> =
            self.models.iter().enumerate().map(|(at, model)| (&model.wanted.spec.name, at)).collect();
        let mut unwanted = Vec::new();
        for worker in self.inventory.workers.values().map(Arc::as_ref) {
            let model = names.get(&worker.model).copied();
            if worker.holds_memory()
                && let Some(&at) = self.at.get(&worker.node)
            {
                // A worker does not say which accelerators it has: its model does.
                let spec = model.map(|model| &self.models[model].wanted.spec);
                let accelerators = spec.and_then(|spec| spec.placement.accelerators.as_ref());
                let need = Need { memory: worker.memory, accelerators };
                match worker.state {
                    WorkerState::Draining | WorkerState::Stopped => self.places[at].drains(&need),
                    _ => self.places[at].hold(Holder { model, need, worker: Some(worker) }),
                }
            }
            match model {
                Some(model) if worker.state.is_live() => self.models[model].workers.push(worker),
                Some(_) => {}
                None => unwanted.push(worker),
            }
        }
        for worker in unwanted {
            self.stop(worker);
        }
        for model in &mut self.models {
            let revision = model.wanted.spec.revision();
            // Those on cordoned nodes go anyway: who counted on them would let the ones go that replace them.
            let stays = |worker: &Worker| !is_cordoned(&self.at, &self.places, worker);
            let serves =
                |worker: &&&Worker| worker.revision == revision && worker.state == WorkerState::Ready && stays(worker);
            let serving = u32::try_from(model.workers.iter().filter(serves).count()).unwrap_or(u32::MAX);
            model.lingering = serving.saturating_sub(model.wanted.needed()).min(model.wanted.spare);
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

    fn model(&mut self, model: usize) {
        let wanted = self.models[model].wanted;
        let (spec, needed, revision) = (&wanted.spec, wanted.needed(), wanted.spec.revision());
        let live = std::mem::take(&mut self.models[model].workers);
        let stay = live.iter().copied().filter(|worker| !self.leaving.contains(&worker.id));
        let (current, old): (Vec<&Worker>, Vec<&Worker>) = stay.partition(|worker| worker.revision == revision);
        let retire: HashSet<&WorkerId> = spec.retire.iter().collect();
        let is_cordoned = |worker: &Worker| is_cordoned(&self.at, &self.places, worker);
        let Parted { keep, go, moving, refused, tries } = replicas::part(spec, current, needed, &retire, is_cordoned);
        let replaces = !moving.is_empty() || live.iter().any(|worker| worker.revision != revision);
        let serving = replicas::serving(&keep);
        let lacking = (needed as usize).saturating_sub(serving);
        let (old, old_go) = replicas::part_old(old, moving, lacking, is_cordoned);
        // What those on cordoned nodes have is nobody's to take.
        let with_room = old.iter().filter(|worker| !is_cordoned(worker)).count();
        go.into_iter().chain(old_go).for_each(|worker| self.stop(worker));
        let Some(memory) = wanted.memory else { return };

        let mut missing = replicas::missing(spec, needed, &keep);
        if missing.is_empty() {
            return;
        }
        let mut standing = replicas::take_anywhere(&mut missing, |anywhere| anywhere.saturating_sub(tries));
        let most = if replaces { most_workers(spec) } else { usize::MAX };
        let ask = self.ask(model, memory, &live);
        let begun = self.starts.len();
        let there = live.len() - refused.len();
        let (without, mut held) = self.start(&ask, &keep, &missing, most.saturating_sub(there), &retire);
        let (started, no_room) = (self.starts.len() - begun, without.len());
        let mut without = self.wait(&ask, without);
        let mut waiting = no_room - without.len();
        // Nobody goes for those that a refused one stands for: where the next one would be refused, too, that was for nothing.
        for replicas in [&mut held, &mut without] {
            let others = refused.len().saturating_sub(standing);
            standing += replicas::take_anywhere(replicas, |anywhere| anywhere.min(others));
        }
        // Those that replace an old one take its room, in turn. For the others, others go.
        let more = without.split_off(without.len().min(with_room));
        let beyond = more.len();
        let more = self.clear(&ask, &more, &[]);
        let mut in_turn = 0;
        // Whether the new ones serve is still to be seen: until then no more of the old ones go for them.
        if serving < keep.len() || !refused.is_empty() || started > 0 || waiting > 0 {
            in_turn = without.len();
            without.clear();
        } else if self.replace_one(&ask, &old, &mut without) {
            waiting += 1;
            in_turn = without.len();
            without.clear();
        } else if keep.len() + old.len() >= most && !self.make_way(&ask, &old, &held) {
            without.extend(held);
        }
        waiting += beyond - more.len();
        without.extend(more);
        self.tell_refused(&ask, standing, &refused);
        self.tell(&ask, waiting, in_turn, &without);
    }

    /// What a model with these workers asks for.
    fn ask(&self, model: usize, memory: u64, live: &[&Worker]) -> Ask<'a> {
        let spec = &self.models[model].wanted.spec;
        let (accelerators, revision) = (spec.placement.accelerators.as_ref(), spec.revision());
        let refused = live.iter().filter(|worker| worker.refused && worker.revision == revision);
        let refuse: HashSet<&NodeName> = refused.map(|worker| &worker.node).collect();
        let may_run = |place: &Place<'_>| {
            let Place { node, .. } = place;
            node.is_open_to(accelerators) && carries(node, spec) && !refuse.contains(&node.name)
        };
        Ask {
            model,
            spec,
            need: Need { memory, accelerators },
            open: (0..self.places.len()).filter(|&at| may_run(&self.places[at])).collect(),
        }
    }

    /// Where a replica pinned to this node may go.
    fn open_place(&self, ask: &Ask<'_>, node: &NodeName) -> Option<PlaceIndex> {
        self.at.get(node).copied().filter(|&at| ask.is_open(at))
    }

    /// Starts what is missing, as far as there is room and no more than `most`; returns what had no room and what was held
    /// back.
    fn start(
        &mut self,
        ask: &Ask<'a>,
        keep: &[&Worker],
        missing: &[Pin<'a>],
        most: usize,
        retire: &HashSet<&WorkerId>,
    ) -> (Vec<Pin<'a>>, Vec<Pin<'a>>) {
        let mut names = replicas::names(ask.spec, self.inventory, retire);
        let places = keep.iter().filter_map(|worker| self.at.get(&worker.node).copied());
        let mut here: BTreeMap<PlaceIndex, usize> = BTreeMap::new();
        places.for_each(|at| *here.entry(at).or_default() += 1);
        let (mut seats, mut started, mut without) = (None, 0, Vec::new());
        for (at, &pin) in missing.iter().enumerate() {
            if started == most {
                return (without, missing[at..].to_vec());
            }
            let at = match pin {
                Some(node) => {
                    self.open_place(ask, node).filter(|&at| self.places[at].fits_now(&ask.need)).inspect(|&at| {
                        *here.entry(at).or_default() += 1;
                        self.places[at].hold(ask.holder());
                    })
                }
                None => seats.get_or_insert_with(|| Seats::new(&self.places, ask, &here)).take(
                    &mut self.places,
                    ask,
                    |place| place.hold(ask.holder()),
                ),
            };
            match at.and_then(|at| Some((self.places[at].node.name.clone(), names.next()?))) {
                Some((node, worker)) => {
                    let (spec, memory) = (Arc::clone(ask.spec), ask.need.memory);
                    self.starts.push(Action::Start(StartWorker { worker, spec, node, memory }));
                    started += 1;
                }
                None => without.push(pin),
            }
        }
        (without, Vec::new())
    }

    /// Promises what is on its way back: a worker that drains has its memory until it is gone. Returns the replicas that this
    /// does not help.
    fn wait(&mut self, ask: &Ask<'a>, mut replicas: Vec<Pin<'a>>) -> Vec<Pin<'a>> {
        let mut open = ask.open.iter().copied().peekable();
        replicas.retain(|pin| {
            let fits = |at: &PlaceIndex| self.places[*at].fits_later(&ask.need);
            let at = match pin {
                Some(node) => self.open_place(ask, node).filter(fits),
                None => {
                    while open.next_if(|at| !fits(at)).is_some() {}
                    open.peek().copied()
                }
            };
            at.inspect(|&at| self.places[at].promise(ask.holder())).is_none()
        });
        replicas
    }

    /// Lets old ones make room for one of the replicas that have none, and takes it from them.
    fn replace_one(&mut self, ask: &Ask<'a>, old: &[&'a Worker], without: &mut Vec<Pin<'a>>) -> bool {
        let mut seen = BTreeSet::new();
        let at = (0..without.len())
            .find(|&at| seen.insert(without[at]) && self.clear(ask, &without[at..=at], old).is_empty());
        at.map(|at| without.remove(at)).is_some()
    }

    /// Lets an old one go for a replica that the surge holds back; false where none would fit even then.
    fn make_way(&mut self, ask: &Ask<'a>, old: &[&'a Worker], held: &[Pin<'a>]) -> bool {
        let mut held = held.to_vec();
        let fits = |at: PlaceIndex| self.places[at].fits_now(&ask.need);
        let has_room = held.iter().any(|pin| match pin {
            Some(node) => self.open_place(ask, node).is_some_and(fits),
            None => ask.open.iter().any(|&at| fits(at)),
        });
        match old.last().filter(|_| has_room) {
            Some(worst) => {
                self.stop(worst);
                true
            }
            None => self.replace_one(ask, old, &mut held),
        }
    }
}

impl<'a> Ask<'a> {
    fn is_open(&self, at: PlaceIndex) -> bool {
        self.open.binary_search(&at).is_ok()
    }

    /// One of its replicas, as it has a share of a node.
    fn holder(&self) -> Holder<'a> {
        Holder { model: Some(self.model), need: self.need, worker: None }
    }
}

fn carries(node: &Node, spec: &ModelSpec) -> bool {
    spec.placement.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
}

/// Whether a worker is on a node that shall be empty.
fn is_cordoned(at: &HashMap<&NodeName, PlaceIndex>, places: &[Place<'_>], worker: &Worker) -> bool {
    at.get(&worker.node).is_some_and(|&at| places[at].node.is_cordoned())
}

/// How many workers may live, those that are replaced and those that replace them.
fn most_workers(spec: &ModelSpec) -> usize {
    spec.rollout.surge.map_or(usize::MAX, |surge| (spec.replicas as usize).saturating_add(surge as usize))
}

#[cfg(test)]
mod tests;
