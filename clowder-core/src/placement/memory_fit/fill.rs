//! Starts what the groups of a model lack.

use super::group::Group;
use super::place::{Holder, Need, Place};
use super::seats::Seats;
use super::{Pin, PlaceIndex, Planning, replicas};
use crate::model::ModelSpec;
use crate::node::{Node, NodeName};
use crate::plan::{Action, StartWorker};
use crate::worker::{Worker, WorkerId, WorkerState};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// What a group has, and with it what it lacks.
pub(super) struct Lack<'a> {
    pub(super) group: usize,
    /// Its workers that stay.
    pub(super) keep: Vec<&'a Worker>,
    /// Those that their nodes refused, which stand for replicas that it lacks.
    pub(super) refused: Vec<&'a Worker>,
    /// How many more of those there may be.
    pub(super) tries: usize,
    /// Those that stand in for what it lacks, and go for it; the worse the later.
    pub(super) old: Vec<&'a Worker>,
    /// How many of those have room that it could take.
    pub(super) with_room: usize,
}

impl Lack<'_> {
    /// Whether workers of its own are still to serve.
    fn begins(&self) -> bool {
        !self.refused.is_empty() || replicas::serving(&self.keep) < self.keep.len()
    }
}

/// What a group asks for each of its replicas.
pub(super) struct Ask<'a> {
    pub(super) group: usize,
    pub(super) spec: &'a Arc<ModelSpec>,
    pub(super) need: Need<'a>,
    /// Nodes that carry the labels it asks for and take new workers of it, in order.
    pub(super) open: Vec<PlaceIndex>,
}

/// What the groups of a model share.
struct Filling<'r> {
    retire: HashSet<&'r WorkerId>,
    /// Workers of the model that stay or are started, by place.
    here: BTreeMap<PlaceIndex, usize>,
    /// How many more may be started.
    more: usize,
    /// Whether there are as many workers as there may be.
    is_full: bool,
    /// Whether another group waits for its own workers to serve: until they do no old one goes.
    waits: bool,
}

impl<'a> Planning<'a> {
    /// Starts what the groups of a model lack, in order. No more than `most` of its workers shall live; so many do, `live`, those
    /// not counted that are refused.
    pub(super) fn fill(&mut self, lacks: Vec<Lack<'a>>, retire: HashSet<&'a WorkerId>, most: usize, live: usize) {
        let mut here = BTreeMap::new();
        let places = lacks.iter().flat_map(|lack| &lack.keep).filter_map(|worker| self.at.get(&worker.node).copied());
        places.for_each(|at| *here.entry(at).or_default() += 1);
        let is_full = lacks.iter().map(|lack| lack.keep.len() + lack.old.len()).sum::<usize>() >= most;
        // What fails on trial is waited for by nobody.
        let waits = lacks.iter().skip(1).flat_map(|lack| &lack.keep).any(|worker| is_on_the_way(worker));
        let mut filling = Filling { retire, here, more: most.saturating_sub(live), is_full, waits };
        for lack in lacks {
            filling.waits = self.fill_one(lack, &mut filling);
        }
    }

    /// Starts what a group lacks. Returns whether it waits for its own workers to serve, or for what is to come of this.
    fn fill_one(&mut self, lack: Lack<'a>, filling: &mut Filling<'a>) -> bool {
        let begins = lack.begins();
        let Lack { group, keep, refused, tries, old, with_room } = lack;
        let Some(memory) = self.groups[group].memory else { return begins };
        let mut missing = replicas::missing(&self.groups[group], &keep);
        if missing.is_empty() {
            return begins;
        }
        let mut standing = replicas::take_anywhere(&mut missing, |anywhere| anywhere.saturating_sub(tries));
        let ask = self.ask(group, memory);
        let begun = self.starts.len();
        let (without, mut held) = self.start(&ask, &missing, filling);
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
        let (mut in_turn, mut makes_way) = (0, false);
        // Whether the new ones serve is still to be seen: until then no more of the old ones go for them.
        if filling.waits || begins || started > 0 || waiting > 0 {
            in_turn = without.len();
            without.clear();
        } else if self.replace_one(&ask, &old, &mut without) {
            waiting += 1;
            in_turn = without.len();
            without.clear();
        } else if filling.is_full {
            makes_way = self.make_way(&ask, &old, &held);
            without.extend(held.into_iter().filter(|_| !makes_way));
        }
        waiting += beyond - more.len();
        without.extend(more);
        self.tell_refused(&ask, standing, &refused);
        self.tell(&ask, waiting, in_turn, &without);
        begins || started > 0 || waiting > 0 || makes_way
    }

    fn ask(&self, group: usize, memory: u64) -> Ask<'a> {
        let Group { spec, revision, ref workers, .. } = self.groups[group];
        let accelerators = spec.placement.accelerators.as_ref();
        let refused = workers.iter().filter(|worker| worker.refused && worker.revision == revision);
        let refuse: HashSet<&NodeName> = refused.map(|worker| &worker.node).collect();
        let may_run = |place: &Place<'_>| {
            let Place { node, .. } = place;
            node.is_open_to(accelerators) && carries(node, spec) && !refuse.contains(&node.name)
        };
        Ask {
            group,
            spec,
            need: Need { memory, accelerators },
            open: (0..self.places.len()).filter(|&at| may_run(&self.places[at])).collect(),
        }
    }

    /// Where a replica pinned to this node may go.
    pub(super) fn open_place(&self, ask: &Ask<'_>, node: &NodeName) -> Option<PlaceIndex> {
        self.at.get(node).copied().filter(|&at| ask.is_open(at))
    }

    /// Starts what is missing, as far as there is room and no more than may be; returns what had no room and what was held
    /// back.
    fn start(&mut self, ask: &Ask<'a>, missing: &[Pin<'a>], filling: &mut Filling<'_>) -> (Vec<Pin<'a>>, Vec<Pin<'a>>) {
        let mut names = replicas::names(ask.spec, self.inventory, &filling.retire);
        let (mut seats, mut without) = (None, Vec::new());
        for (at, &pin) in missing.iter().enumerate() {
            if filling.more == 0 {
                return (without, missing[at..].to_vec());
            }
            let place = match pin {
                Some(node) => self
                    .open_place(ask, node)
                    .filter(|&at| self.places[at].fits_now(&ask.need))
                    .inspect(|&at| self.places[at].hold(ask.holder())),
                None => seats.get_or_insert_with(|| Seats::new(&self.places, ask, &filling.here)).take(
                    &mut self.places,
                    ask,
                    |place| place.hold(ask.holder()),
                ),
            };
            match place.and_then(|at| Some((at, names.next()?))) {
                Some((at, worker)) => {
                    let (spec, memory, node) =
                        (Arc::clone(ask.spec), ask.need.memory, self.places[at].node.name.clone());
                    self.starts.push(Action::Start(StartWorker { worker, spec, node, memory }));
                    *filling.here.entry(at).or_default() += 1;
                    filling.more -= 1;
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
    pub(super) fn is_open(&self, at: PlaceIndex) -> bool {
        self.open.binary_search(&at).is_ok()
    }

    /// One of its replicas, as it has a share of a node.
    pub(super) fn holder(&self) -> Holder<'a> {
        Holder { group: Some(self.group), need: self.need, worker: None }
    }
}

pub(super) fn carries(node: &Node, spec: &ModelSpec) -> bool {
    spec.placement.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
}

fn is_on_the_way(worker: &Worker) -> bool {
    !worker.refused && matches!(worker.state, WorkerState::Pending | WorkerState::Fetching(_) | WorkerState::Starting)
}
