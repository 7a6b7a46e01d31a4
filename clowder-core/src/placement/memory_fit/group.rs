//! The replicas of a model by the settings that they run under: its own, or those on trial.

use super::Wanted;
use crate::model::{ModelSpec, Revision, Shares};
use crate::node::NodeName;
use crate::worker::Worker;
use std::sync::Arc;

/// Replicas of a model that run in one way.
pub(super) struct Group<'a> {
    /// The model as they run it.
    pub(super) spec: &'a Arc<ModelSpec>,
    pub(super) revision: Revision,
    /// Bytes of memory that each takes, once known.
    pub(super) memory: Option<u64>,
    /// How many there shall be.
    pub(super) replicas: u32,
    /// How many of them the present demand needs.
    pub(super) needed: u32,
    /// One entry for each of them that must run on that node.
    pub(super) pinned: &'a [NodeName],
    /// Those that live. Workers of earlier revisions are with the model's own.
    pub(super) workers: Vec<&'a Worker>,
    /// How many serve beyond what the demand needs.
    pub(super) lingering: u32,
}

/// The groups of a model, its own first.
///
/// Pins are for the model's replicas as they are counted, the last ones being those on trial: so a trial beside a single
/// replica runs where that does.
pub(super) fn groups<'a>(wanted: &'a Wanted) -> impl Iterator<Item = Group<'a>> {
    let Wanted { spec, memory, trial, .. } = wanted;
    let shares = |replicas| match trial {
        Some(_) => spec.rollout.shares(replicas),
        None => Shares { own: replicas, trial: 0 },
    };
    let (all, needed, pinned) = (shares(spec.replicas), shares(wanted.needed()), &spec.placement.pinned[..]);
    let pins = |from: u32, count: u32| {
        let rest = pinned.get(from as usize..).unwrap_or_default();
        &rest[..rest.len().min(count as usize)]
    };
    let group = |spec: &'a Arc<ModelSpec>, memory, replicas, needed, pinned| Group {
        revision: spec.revision(),
        spec,
        memory,
        replicas,
        needed,
        pinned,
        workers: Vec::new(),
        lingering: 0,
    };
    let own = match trial {
        Some(_) => pins(0, all.own),
        None => pinned,
    };
    let on_trial = trial.as_ref().map(|trial| {
        let pinned = pins(spec.replicas.saturating_sub(all.trial), all.trial);
        group(&trial.spec, trial.memory, all.trial, needed.trial, pinned)
    });
    std::iter::once(group(spec, *memory, all.own, needed.own, own)).chain(on_trial)
}
