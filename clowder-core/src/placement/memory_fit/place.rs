//! What a node has to give, now and once those that leave are gone.

use crate::model::AcceleratorRequest;
use crate::node::{Capacity, Node};
use crate::worker::{Worker, WorkerId};
use std::collections::BTreeMap;

/// What one worker takes of a node.
#[derive(Clone, Copy)]
pub(crate) struct Need<'a> {
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Accelerators that it has for itself.
    pub(crate) accelerators: Option<&'a AcceleratorRequest>,
}

/// What is taken of a node. Sums are wide: a worker that asks for all memory there is must not hide the others.
#[derive(Clone, Default)]
pub(crate) struct Load<'a> {
    memory: u128,
    accelerators: BTreeMap<&'a str, u64>,
}

impl<'a> Load<'a> {
    pub(crate) fn add(&mut self, need: &Need<'a>) {
        self.memory += u128::from(need.memory);
        if let Some(asked) = need.accelerators {
            *self.accelerators.entry(&asked.name).or_default() += u64::from(asked.count);
        }
    }

    pub(crate) fn remove(&mut self, need: &Need<'a>) {
        self.memory = self.memory.saturating_sub(u128::from(need.memory));
        if let Some(taken) = need.accelerators.and_then(|asked| Some((self.accelerators.get_mut(&*asked.name)?, asked)))
        {
            *taken.0 = taken.0.saturating_sub(u64::from(taken.1.count));
        }
    }

    /// Bytes of memory that are left.
    pub(crate) fn memory_left(&self, capacity: &Capacity) -> u64 {
        let left = u128::from(capacity.memory).saturating_sub(self.memory);
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// Whether the accelerators that a worker needs are left.
    pub(crate) fn has_accelerators(&self, need: &Need<'_>, capacity: &Capacity) -> bool {
        need.accelerators.is_none_or(|asked| {
            let taken = self.accelerators.get(&*asked.name).copied().unwrap_or(0);
            u64::from(capacity.count(&asked.name)).saturating_sub(taken) >= u64::from(asked.count)
        })
    }

    /// Whether one more worker fits.
    pub(crate) fn fits(&self, need: &Need<'_>, capacity: &Capacity) -> bool {
        self.memory_left(capacity) >= need.memory && self.has_accelerators(need, capacity)
    }
}

/// One that will have a share of a node once those that leave are gone.
pub(super) struct Holder<'a> {
    /// Its group, by its place in the order of planning; `None` for one that nobody wants.
    pub(super) group: Option<usize>,
    /// Its share.
    pub(super) need: Need<'a>,
    /// What can be asked to go; `None` for one that is only planned.
    pub(super) worker: Option<&'a Worker>,
}

/// A node in a plan.
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    /// Taken now, and by what this plan starts.
    now: Load<'a>,
    /// Taken once those that leave are gone, and by those that wait for it.
    later: Load<'a>,
    holders: Vec<Holder<'a>>,
}

impl<'a> Place<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, now: Load::default(), later: Load::default(), holders: Vec::new() }
    }

    /// One that is there and stays.
    pub(super) fn hold(&mut self, holder: Holder<'a>) {
        self.now.add(&holder.need);
        self.promise(holder);
    }

    /// One that drains: what it has is its own until it is gone.
    pub(super) fn drains(&mut self, need: &Need<'a>) {
        self.now.add(need);
    }

    /// One that waits for those that leave.
    pub(super) fn promise(&mut self, holder: Holder<'a>) {
        self.later.add(&holder.need);
        self.holders.push(holder);
    }

    /// A worker is asked to go.
    pub(super) fn leave(&mut self, worker: &WorkerId) {
        let held = |holder: &Holder<'_>| holder.worker.is_some_and(|held| held.id == *worker);
        if let Some(at) = self.holders.iter().position(held) {
            let holder = self.holders.swap_remove(at);
            self.later.remove(&holder.need);
        }
    }

    pub(super) fn holders(&self) -> &[Holder<'a>] {
        &self.holders
    }

    /// Bytes of memory that one more worker may take now: neither what is still in use nor what is promised.
    pub(super) fn memory_left(&self) -> u64 {
        let capacity = &self.node.capacity;
        self.now.memory_left(capacity).min(self.later.memory_left(capacity))
    }

    /// Whether the accelerators that a worker needs are free now.
    pub(super) fn has_accelerators(&self, need: &Need<'_>) -> bool {
        [&self.now, &self.later].into_iter().all(|load| load.has_accelerators(need, &self.node.capacity))
    }

    /// Whether one more worker may start now.
    pub(super) fn fits_now(&self, need: &Need<'_>) -> bool {
        self.memory_left() >= need.memory && self.has_accelerators(need)
    }

    /// Whether one more worker fits once those that leave are gone.
    pub(super) fn fits_later(&self, need: &Need<'_>) -> bool {
        self.later.fits(need, &self.node.capacity)
    }

    /// Whether one more worker would fit without these.
    pub(super) fn fits_without<'h>(&'h self, need: &Need<'_>, gone: impl Iterator<Item = &'h Need<'a>>) -> bool
    where
        'a: 'h,
    {
        let mut left = self.later.clone();
        gone.for_each(|gone| left.remove(gone));
        left.fits(need, &self.node.capacity)
    }

    /// The first of these that must go for one more worker to fit; `None` where not even all of them make room. Of those
    /// whose turn comes early, the ones that the later ones make needless stay.
    pub(super) fn first_enough<T: Copy>(&self, need: &Need<'_>, in_turn: &[(T, Need<'a>)]) -> Option<Vec<T>> {
        let (mut left, capacity) = (self.later.clone(), &self.node.capacity);
        let mut go: Vec<&(T, Need<'a>)> = Vec::new();
        let mut others = in_turn.iter();
        while !left.fits(need, capacity) {
            let next = others.next()?;
            left.remove(&next.1);
            go.push(next);
        }
        for at in (0..go.len().saturating_sub(1)).rev() {
            left.add(&go[at].1);
            if left.fits(need, capacity) {
                go.remove(at);
            } else {
                left.remove(&go[at].1);
            }
        }
        Some(go.into_iter().map(|(worker, _)| *worker).collect())
    }
}
