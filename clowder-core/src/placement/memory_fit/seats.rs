//! The nodes where one more worker of a model fits, the best first.

use super::place::Place;
use super::{Ask, PlaceIndex};
use crate::node::{Node, NodeName};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// A node, as good as it is for one more worker: the less, the better.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Seat<'a> {
    /// Whether the file is still to be fetched.
    fetches: bool,
    /// Workers of the model that are there already.
    here: usize,
    memory_left: Reverse<u64>,
    node: &'a NodeName,
    place: PlaceIndex,
}

impl<'a> Seat<'a> {
    fn new(place: &Place<'a>, at: PlaceIndex, here: usize, ask: &Ask<'a>) -> Self {
        Self {
            fetches: !place.node.cached.contains(&ask.spec.source),
            here,
            memory_left: Reverse(place.memory_left()),
            node: &place.node.name,
            place: at,
        }
    }
}

/// Nodes that fail together, as far as the model's rules say: those with the same value of the label it is spread over. A
/// node without the label fails alone. Without such a rule, all are one.
#[derive(Default)]
struct Domain<'a> {
    workers: usize,
    seats: BinaryHeap<Reverse<Seat<'a>>>,
}

/// All of them. Why heaps? Each worker that is placed changes the standing of one node and of one domain, and looking at
/// all the others again for it would take a thousand nodes a thousand times.
pub(super) struct Seats<'a> {
    domains: Vec<Domain<'a>>,
    /// The best seat of each domain that has one, that with the fewest workers first.
    best: BinaryHeap<Reverse<(usize, Seat<'a>, usize)>>,
}

impl<'a> Seats<'a> {
    /// Those of a model that has so many workers `here`, by place.
    pub(super) fn new(places: &[Place<'a>], ask: &Ask<'a>, here: &BTreeMap<PlaceIndex, usize>) -> Self {
        let label = ask.spec.placement.spread.as_deref();
        let mut names: HashMap<(bool, &str), usize> = HashMap::new();
        let mut domains: Vec<Domain<'a>> = Vec::new();
        let mut domain_of = |node: &'a Node, domains: &mut Vec<Domain<'a>>| {
            let at = *names.entry(domain_name(node, label)).or_insert(domains.len());
            if at == domains.len() {
                domains.push(Domain::default());
            }
            at
        };
        for (&at, count) in here {
            let domain = domain_of(places[at].node, &mut domains);
            domains[domain].workers += count;
        }
        for &at in ask.open.iter().filter(|&&at| places[at].fits_now(&ask.need)) {
            let domain = domain_of(places[at].node, &mut domains);
            let count = here.get(&at).copied().unwrap_or(0);
            domains[domain].seats.push(Reverse(Seat::new(&places[at], at, count, ask)));
        }
        let mut seats = Self { domains, best: BinaryHeap::new() };
        (0..seats.domains.len()).for_each(|domain| seats.offer(domain));
        seats
    }

    /// Has a worker sit down on the best: `sit` takes its share of the place. `None` where it fits nowhere.
    pub(super) fn take(
        &mut self,
        places: &mut [Place<'a>],
        ask: &Ask<'a>,
        sit: impl FnOnce(&mut Place<'a>),
    ) -> Option<PlaceIndex> {
        let Reverse((_, seat, domain)) = self.best.pop()?;
        let place = &mut places[seat.place];
        sit(place);
        self.domains[domain].workers += 1;
        if place.fits_now(&ask.need) {
            let again = Seat::new(place, seat.place, seat.here + 1, ask);
            self.domains[domain].seats.push(Reverse(again));
        }
        self.offer(domain);
        Some(seat.place)
    }

    fn offer(&mut self, domain: usize) {
        let Domain { workers, seats } = &mut self.domains[domain];
        if let Some(Reverse(seat)) = seats.pop() {
            self.best.push(Reverse((*workers, seat, domain)));
        }
    }
}

fn domain_name<'n>(node: &'n Node, label: Option<&str>) -> (bool, &'n str) {
    match label.map(|label| node.labels.get(label)) {
        None => (false, ""),
        Some(Some(value)) => (false, value),
        Some(None) => (true, node.name.as_str()),
    }
}
