//! Why a replica has no place.

use super::fill::carries;
use super::place::Need;
use super::{Ask, Pin, PlaceIndex, Planning};
use crate::plan::{Cause, Unplaced};
use crate::worker::Worker;
use std::sync::Arc;

/// What one waits for that is promised the room of others.
const LEAVING: &str = "it waits for the memory of workers that are on their way out";
/// What one waits for whose room those of another revision have.
const IN_TURN: &str = "it waits for a worker of another revision to make room";

/// What the node of a worker says that says nothing else.
const REFUSED: &str = "its node has no room for it";

impl<'a> Planning<'a> {
    /// Tells of replicas without a place: `waiting` ones are promised what others leave, those of `in_turn` follow on a
    /// rollout that goes on, and for the `others` there is nothing.
    pub(super) fn tell(&mut self, ask: &Ask<'a>, waiting: usize, in_turn: usize, others: &[Pin<'a>]) {
        for same in others.chunk_by(|one, next| one == next) {
            let (cause, reason) = self.reason(ask, same[0]);
            self.unplaced.push(unplaced(ask, same.len(), same[0], cause, reason));
        }
        for (replicas, why) in
            [(waiting, LEAVING), (in_turn, IN_TURN)].into_iter().filter(|&(replicas, _)| replicas > 0)
        {
            self.unplaced.push(unplaced(ask, replicas, None, Cause::Leaving, why.to_owned()));
        }
    }

    /// Tells of replicas that refused workers stand for.
    pub(super) fn tell_refused(&mut self, ask: &Ask<'a>, replicas: usize, refused: &[&Worker]) {
        let Some(first) = refused.first().filter(|_| replicas > 0) else { return };
        let why = first.state.reason().unwrap_or(REFUSED);
        let nodes = refused.len();
        let reason = format!("{why} (nodes that refused a worker: {nodes}; others have no room or are not tried)");
        self.unplaced.push(unplaced(ask, replicas, None, Cause::Refused, reason));
    }

    fn reason(&self, ask: &Ask<'a>, pin: Pin<'a>) -> (Cause, String) {
        let node = |reason: String| (Cause::Node, reason);
        let allowed: Vec<PlaceIndex> = match pin {
            Some(name) => match self.at.get(name) {
                Some(&at) => vec![at],
                None => return node(format!("there is no node {name}")),
            },
            None if self.places.is_empty() => return node("there are no nodes".to_owned()),
            None => (0..self.places.len()).collect(),
        };
        if !allowed.iter().any(|&at| carries(self.places[at].node, ask.spec)) {
            let labels: Vec<String> = ask.spec.placement.selector.iter().map(|(k, v)| format!("{k}={v}")).collect();
            return node(format!("no node carries {}", labels.join(", ")));
        }
        let takes = |&at: &PlaceIndex| {
            let node = self.places[at].node;
            carries(node, ask.spec).then(|| (node.is_schedulable(), node.is_open_to(ask.need.accelerators)))
        };
        let (open, closed): (Vec<PlaceIndex>, Vec<PlaceIndex>) = allowed.into_iter().partition(|&at| ask.is_open(at));
        // A node that would take it is none that is open because it refused a worker.
        if open.is_empty() && closed.iter().filter_map(takes).any(|(_, would)| would) {
            return (Cause::Refused, "the nodes it may run on have no room for the workers they have got".to_owned());
        }
        if open.is_empty() && closed.iter().filter_map(takes).any(|(takes_some, _)| takes_some) {
            return node("the nodes it may run on take only models that ask for their accelerators".to_owned());
        }
        if open.is_empty() {
            return node("the nodes it may run on take no new workers".to_owned());
        }
        let with_accelerators = || open.iter().filter(|&&at| self.places[at].has_accelerators(&ask.need));
        let lacks_accelerators = with_accelerators().next().is_none();
        let cause = if lacks_accelerators { Cause::Accelerators } else { Cause::Memory };
        let any_above = self.groups.first().is_some_and(|first| first.spec.priority > ask.spec.priority);
        if any_above && open.iter().any(|&at| self.is_outranked(ask, at)) {
            let what = if lacks_accelerators { "its accelerators are" } else { "its memory is" };
            return (cause, format!("{what} taken by models of higher priority"));
        }
        let reason = match ask.need.accelerators {
            Some(asked) if lacks_accelerators => {
                format!("a worker needs {} {}, no node has them free", asked.count, asked.name)
            }
            _ => {
                let roomiest = with_accelerators().map(|&at| self.places[at].memory_left()).max().unwrap_or(0);
                let (need, most) = (Bytes(ask.need.memory), Bytes(roomiest));
                format!("a worker needs {need} of memory, no node has more than {most} left")
            }
        };
        (cause, reason)
    }

    /// Whether a worker would fit on a node but for those of models of higher priority.
    fn is_outranked(&self, ask: &Ask<'a>, at: PlaceIndex) -> bool {
        let above = |group: usize| self.groups[group].spec.priority > ask.spec.priority;
        let place = &self.places[at];
        let gone = place.holders().iter().filter(|holder| holder.group.is_some_and(above)).map(|holder| &holder.need);
        place.fits_without(&ask.need, gone)
    }
}

fn unplaced(ask: &Ask<'_>, replicas: usize, pin: Pin<'_>, cause: Cause, reason: String) -> Unplaced {
    let Need { memory, .. } = ask.need;
    let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
    Unplaced { spec: Arc::clone(ask.spec), replicas, memory, node: pin.cloned(), cause, reason }
}

/// Bytes for a person.
struct Bytes(u64);

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const GIB: f64 = (1_u64 << 30) as f64;
        const MIB: f64 = (1_u64 << 20) as f64;
        match self.0 as f64 {
            bytes if bytes >= GIB => write!(f, "{:.1} GiB", bytes / GIB),
            bytes => write!(f, "{:.0} MiB", bytes / MIB),
        }
    }
}
