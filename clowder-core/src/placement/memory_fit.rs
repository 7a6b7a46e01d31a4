//! Places by memory: a worker goes where its weights, KV cache and buffers fit.

use super::{Placement, Wanted};
use crate::model::{ModelName, ModelSpec};
use crate::node::{Inventory, Node, NodeName};
use crate::plan::{Action, Plan, StartWorker, Unplaced};
use crate::worker::{Worker, WorkerId, WorkerState};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Places by memory. Among the nodes where a worker fits, one that has the model's file already is preferred, then the
/// one with the fewest workers of the same model, then the one with the most memory left.
///
/// A change of a model's settings replaces its workers: new ones first where there is memory for both, and an old one
/// goes for each new one that serves; where there is not, an old one makes room, one at a time. Where a new one would not
/// fit even without the old ones, these go on serving.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryFit;

impl Placement for MemoryFit {
    fn plan(&self, wanted: &[Wanted], inventory: &Inventory) -> Plan {
        let mut planning = Planning::new(inventory);
        let names: BTreeSet<&ModelName> = wanted.iter().map(|wanted| &wanted.spec.name).collect();
        for worker in inventory.workers.values().filter(|worker| !names.contains(&worker.model)) {
            planning.stop(worker);
            // Nobody will ask for its name again, and so nobody would clear away what a backend keeps of it.
            if worker.state == WorkerState::Stopped {
                planning.plan.actions.push(Action::Stop { worker: worker.id.clone() });
            }
        }
        for wanted in wanted {
            planning.model(wanted);
        }
        planning.plan
    }
}

/// A plan in the making, and the memory as it will be.
struct Planning<'a> {
    inventory: &'a Inventory,
    free: BTreeMap<&'a NodeName, u64>,
    plan: Plan,
}

impl<'a> Planning<'a> {
    fn new(inventory: &'a Inventory) -> Self {
        let free = inventory.nodes.values().map(|node| (&node.name, inventory.free_memory(node))).collect();
        Self { inventory, free, plan: Plan::default() }
    }

    fn stop(&mut self, worker: &Worker) {
        if worker.state.is_live() {
            self.plan.actions.push(Action::Stop { worker: worker.id.clone() });
        }
    }

    fn model(&mut self, wanted: &Wanted) {
        let spec = &wanted.spec;
        let revision = spec.revision();
        let workers =
            self.inventory.workers.values().filter(|worker| worker.model == spec.name && worker.state.is_live());
        let (current, old): (Vec<&Worker>, Vec<&Worker>) =
            workers.map(Arc::as_ref).partition(|worker| worker.revision == revision);
        let keep = self.keep(spec, &current);
        let serving = keep.iter().filter(|worker| worker.state == WorkerState::Ready).count();
        let missing = missing(spec, &keep);
        let lacking = missing.len();
        let mut unplaced = match wanted.memory {
            Some(memory) => self.start(spec, memory, &keep, missing),
            None => Vec::new(),
        };
        if serving < keep.len() || unplaced.len() < lacking {
            // Whether the new ones serve is still to be seen: until then no more of the old ones go for them.
            unplaced.clear();
        }
        let spare_old = (spec.replicas as usize).saturating_sub(serving);
        self.replace(&old, spare_old, spec, wanted.memory.unwrap_or(0), &unplaced);
    }

    /// The current workers that stay; the others are stopped.
    fn keep(&mut self, spec: &ModelSpec, current: &[&'a Worker]) -> Vec<&'a Worker> {
        let mut pins = count(&spec.placement.pinned);
        let mut ranked: Vec<&Worker> = current.to_vec();
        ranked.sort_by_key(|worker| (spec.retire.contains(&worker.id), standing(&worker.state), worker.id.clone()));
        let (mut keep, mut rest) = (Vec::new(), Vec::new());
        for worker in ranked {
            match pins.get_mut(&worker.node).filter(|left| **left > 0) {
                Some(left) if !spec.retire.contains(&worker.id) => {
                    *left -= 1;
                    keep.push(worker);
                }
                _ => rest.push(worker),
            }
        }
        let replicas = spec.replicas as usize;
        let pinned_elsewhere: usize = pins.values().sum();
        let free_replicas = replicas.saturating_sub(keep.len() + pinned_elsewhere);
        keep.truncate(replicas);
        let stay = rest.iter().take_while(|worker| !spec.retire.contains(&worker.id)).count().min(free_replicas);
        keep.extend(&rest[..stay]);
        for worker in current.iter().filter(|worker| !keep.iter().any(|kept| kept.id == worker.id)) {
            self.stop(worker);
        }
        keep
    }

    /// Starts what is missing, as far as there is room; returns what had none.
    fn start(
        &mut self,
        spec: &Arc<ModelSpec>,
        memory: u64,
        keep: &[&Worker],
        missing: Vec<Option<NodeName>>,
    ) -> Vec<Option<NodeName>> {
        // The name of one that is gone is free: whoever starts under it clears away what is left.
        let there = self.inventory.workers.values().filter(|worker| worker.state != WorkerState::Stopped);
        let mut taken: BTreeSet<WorkerId> =
            there.map(|worker| worker.id.clone()).chain(spec.retire.iter().cloned()).collect();
        let mut by_node = count(keep.iter().map(|worker| &worker.node));
        let mut unplaced = Vec::new();
        let mut reason = None;
        for pin in missing {
            match self.choose(spec, memory, pin.as_ref(), &by_node) {
                Ok(node) => {
                    let worker = next_id(spec, &mut taken);
                    *by_node.entry(node.name.clone()).or_default() += 1;
                    if let Some(free) = self.free.get_mut(&node.name) {
                        *free = free.saturating_sub(memory);
                    }
                    let node = node.name.clone();
                    self.plan.actions.push(Action::Start(StartWorker { worker, spec: Arc::clone(spec), node, memory }));
                }
                Err(why) => {
                    unplaced.push(pin);
                    reason.get_or_insert(why);
                }
            }
        }
        if let Some(reason) = reason {
            let replicas = u32::try_from(unplaced.len()).unwrap_or(u32::MAX);
            self.plan.unplaced.push(Unplaced { spec: Arc::clone(spec), replicas, memory, reason });
        }
        unplaced
    }

    fn choose(
        &self,
        spec: &ModelSpec,
        memory: u64,
        pin: Option<&NodeName>,
        by_node: &BTreeMap<NodeName, usize>,
    ) -> Result<&'a Node, String> {
        let allowed: Vec<&Node> = match pin {
            Some(name) => {
                let node = self.inventory.nodes.get(name).ok_or_else(|| format!("there is no node {name}"))?;
                vec![node.as_ref()]
            }
            None => self.inventory.nodes.values().map(Arc::as_ref).collect(),
        };
        if allowed.is_empty() {
            return Err("there are no nodes".to_owned());
        }
        let selected: Vec<&Node> = allowed.into_iter().filter(|node| carries(node, spec)).collect();
        if selected.is_empty() {
            let labels: Vec<String> =
                spec.placement.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
            return Err(format!("no node carries {}", labels.join(", ")));
        }
        let open: Vec<&Node> = selected.into_iter().filter(|node| node.schedulable).collect();
        if open.is_empty() {
            return Err("the nodes it may run on take no new workers".to_owned());
        }
        let free = |node: &Node| self.free.get(&node.name).copied().unwrap_or(0);
        let roomiest = open.iter().map(|node| free(node)).max().unwrap_or(0);
        open.into_iter()
            .filter(|node| free(node) >= memory)
            .min_by_key(|node| {
                let here = by_node.get(&node.name).copied().unwrap_or(0);
                (!node.cached.contains(&spec.source), here, Reverse(free(node)), &node.name)
            })
            .ok_or_else(|| {
                let (need, most) = (Bytes(memory), Bytes(roomiest));
                format!("a worker needs {need} of memory, no node has more than {most} left")
            })
    }

    /// Lets old workers go: those beyond `spare`, and one more where that makes room for a new one.
    fn replace(&mut self, old: &[&Worker], spare: usize, spec: &ModelSpec, memory: u64, unplaced: &[Option<NodeName>]) {
        let mut ranked = old.to_vec();
        ranked.sort_by_key(|worker| (standing(&worker.state), worker.id.clone()));
        let serving = ranked.iter().filter(|worker| worker.state == WorkerState::Ready).count();
        let (stay, go) = ranked.split_at(serving.min(spare));
        go.iter().for_each(|worker| self.stop(worker));
        if unplaced.is_empty() || stay.is_empty() {
            return;
        }
        let node = unplaced.iter().find_map(|pin| self.node_to_clear(spec, memory, pin.as_ref(), stay));
        if let Some(worker) = node.and_then(|node| stay.iter().rfind(|worker| worker.node == *node)) {
            self.stop(worker);
        }
    }

    /// The node where a new worker would fit if old ones made room; `None` where it would not, or where the memory that is
    /// on its way back will do: a worker that drains has it until it is gone.
    fn node_to_clear(
        &self,
        spec: &ModelSpec,
        memory: u64,
        pin: Option<&NodeName>,
        old: &[&Worker],
    ) -> Option<&'a NodeName> {
        let stopping: BTreeSet<&WorkerId> = self.plan.actions.iter().map(Action::worker).collect();
        let leaves = |worker: &Worker| worker.state == WorkerState::Draining || stopping.contains(&worker.id);
        let sum = |memory: u64, worker: &Worker| memory.saturating_add(worker.memory);
        let soon = |node: &Node| {
            let workers = self.inventory.workers.values().map(Arc::as_ref);
            let leaving = workers.filter(|w| w.node == node.name && w.state.holds_memory() && leaves(w));
            leaving.fold(self.free.get(&node.name).copied().unwrap_or(0), sum)
        };
        let nodes = self.inventory.nodes.values().map(Arc::as_ref);
        let mut open =
            nodes.filter(|node| pin.is_none_or(|pin| *pin == node.name) && node.schedulable && carries(node, spec));
        let mut to_clear = None;
        if open.any(|node| {
            let soon = soon(node);
            let cleared = old.iter().filter(|worker| worker.node == node.name).fold(soon, |m, worker| sum(m, worker));
            if to_clear.is_none() && cleared >= memory {
                to_clear = Some(&node.name);
            }
            soon >= memory
        }) {
            return None;
        }
        to_clear
    }
}

/// One entry for each replica that is missing: the node it is pinned to, if any. Pinned ones first.
fn missing(spec: &ModelSpec, keep: &[&Worker]) -> Vec<Option<NodeName>> {
    let lacking = (spec.replicas as usize).saturating_sub(keep.len());
    let mut here = count(keep.iter().map(|worker| &worker.node));
    let mut missing = Vec::new();
    for pin in &spec.placement.pinned {
        match here.get_mut(pin).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => missing.push(Some(pin.clone())),
        }
    }
    missing.resize(lacking, None);
    missing
}

fn count<'n>(names: impl IntoIterator<Item = &'n NodeName>) -> BTreeMap<NodeName, usize> {
    names.into_iter().fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name.clone()).or_default() += 1;
        counts
    })
}

fn carries(node: &Node, spec: &ModelSpec) -> bool {
    spec.placement.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
}

/// The better a worker stands, the later it goes.
fn standing(state: &WorkerState) -> u8 {
    match state {
        WorkerState::Ready => 0,
        WorkerState::Starting => 1,
        WorkerState::Fetching(_) => 2,
        WorkerState::Pending => 3,
        _ => 4,
    }
}

fn next_id(spec: &ModelSpec, taken: &mut BTreeSet<WorkerId>) -> WorkerId {
    let mut ordinal = 0;
    loop {
        let id = WorkerId::nth(&spec.name, spec.revision(), ordinal);
        if taken.insert(id.clone()) {
            return id;
        }
        ordinal += 1;
    }
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

#[cfg(test)]
mod tests;
