//! Who goes so that another has room: the least valuable first, and nobody where it would not help.

use super::group::Group;
use super::place::Holder;
use super::replicas::standing;
use super::{Ask, Pin, PlaceIndex, Planning};
use crate::worker::{Worker, WorkerId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};

/// What is lost with a worker: the more, the later it goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// Of another revision of the same model: it goes anyway.
    Replaced,
    /// Beyond what the demand for its model needs.
    Lingers,
    /// Of a model of this priority.
    Needed(i32),
}

/// What clearing a node costs: the most valuable worker that goes, then how many go.
type Cost = (Option<Worth>, usize);

/// The nodes that can be cleared, the cheapest first.
type Clearable = BinaryHeap<Reverse<(Cost, PlaceIndex)>>;

impl<'a> Planning<'a> {
    /// Lets workers go for these replicas, each where that costs least, and promises them the room. Returns the replicas for
    /// which nothing does. `old` are workers of other revisions of the model that may go for a new one.
    pub(super) fn clear(&mut self, ask: &Ask<'a>, replicas: &[Pin<'a>], old: &[&'a Worker]) -> Vec<Pin<'a>> {
        let old: HashSet<&WorkerId> = old.iter().map(|worker| &worker.id).collect();
        let mut anywhere: Option<Clearable> = None;
        let mut without = Vec::new();
        for &pin in replicas {
            let cleared = match pin {
                Some(node) => {
                    let at = self.open_place(ask, node);
                    let victims = at.and_then(|at| Some((at, self.victims(ask, at, &old)?)));
                    victims.inspect(|(at, victims)| self.evict(ask, *at, victims)).is_some()
                }
                None => {
                    let nodes = anywhere.get_or_insert_with(|| self.clearable(ask, &old));
                    self.clear_cheapest(ask, nodes, &old)
                }
            };
            if !cleared {
                without.push(pin);
            }
        }
        without
    }

    fn clearable(&self, ask: &Ask<'a>, old: &HashSet<&WorkerId>) -> Clearable {
        let cost = |&at: &PlaceIndex| Some(Reverse((cost(&self.victims(ask, at, old)?), at)));
        ask.open.iter().filter_map(cost).collect()
    }

    fn clear_cheapest(&mut self, ask: &Ask<'a>, nodes: &mut Clearable, old: &HashSet<&WorkerId>) -> bool {
        while let Some(Reverse((estimate, at))) = nodes.pop() {
            let Some(victims) = self.victims(ask, at, old) else { continue };
            // Those that linger may have gone from another node meanwhile: costs only ever rise.
            if cost(&victims) > estimate {
                nodes.push(Reverse((cost(&victims), at)));
                continue;
            }
            self.evict(ask, at, &victims);
            nodes.extend(self.victims(ask, at, old).map(|next| Reverse((cost(&next), at))));
            return true;
        }
        false
    }

    /// Those that go from a node for one more worker, or `None` where it would not fit without any that may.
    fn victims(
        &self,
        ask: &Ask<'a>,
        at: PlaceIndex,
        old: &HashSet<&WorkerId>,
    ) -> Option<Vec<(Worth, usize, &'a Worker)>> {
        let place = &self.places[at];
        let may_go = |holder: &&Holder<'a>| self.may_go(ask, holder, old);
        // Most nodes are none to clear, and this says so without sorting anybody.
        if !place.fits_without(&ask.need, place.holders().iter().filter(may_go).map(|holder| &holder.need)) {
            return None;
        }
        let there = |holder: &'_ Holder<'a>| Some((holder.worker?, holder.group?, holder.need));
        let mut there: Vec<_> = place.holders().iter().filter(may_go).filter_map(there).collect();
        there.sort_unstable_by(|(a, ..), (b, ..)| {
            let rank = |worker: &Worker| Reverse((standing(&worker.state), worker.memory));
            rank(a).cmp(&rank(b)).then_with(|| b.id.cmp(&a.id))
        });
        let mut linger: BTreeMap<usize, u32> = BTreeMap::new();
        let mut in_turn = Vec::new();
        for (worker, group, need) in there {
            let lingering = linger.entry(group).or_insert(self.groups[group].lingering);
            let priority = self.groups[group].spec.priority;
            let worth = if old.contains(&worker.id) {
                Worth::Replaced
            } else if *lingering > 0 {
                *lingering -= 1;
                Worth::Lingers
            } else if priority < ask.spec.priority {
                Worth::Needed(priority)
            } else {
                continue;
            };
            in_turn.push(((worth, group, worker), need));
        }
        in_turn.sort_by_key(|&((worth, ..), _)| worth);
        place.first_enough(&ask.need, &in_turn)
    }

    /// Whether a worker may go at all: of its kind not more than so many, perhaps.
    fn may_go(&self, ask: &Ask<'a>, holder: &Holder<'a>, old: &HashSet<&WorkerId>) -> bool {
        let (Some(worker), Some(group)) = (holder.worker, holder.group) else { return false };
        let Group { lingering, spec, .. } = &self.groups[group];
        old.contains(&worker.id) || (group != ask.group && (*lingering > 0 || spec.priority < ask.spec.priority))
    }

    fn evict(&mut self, ask: &Ask<'a>, at: PlaceIndex, victims: &[(Worth, usize, &'a Worker)]) {
        for &(worth, group, worker) in victims {
            if worth == Worth::Lingers {
                self.groups[group].lingering -= 1;
            }
            self.stop(worker);
        }
        self.places[at].promise(ask.holder());
    }
}

fn cost(victims: &[(Worth, usize, &Worker)]) -> Cost {
    (victims.iter().map(|&(worth, ..)| worth).max(), victims.len())
}
