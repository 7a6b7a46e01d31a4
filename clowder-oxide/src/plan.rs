//! What to do next, and what to wait for, from what is seen. It asks nobody and remembers nothing.

use crate::cluster::{Cluster, MissingProject};
use crate::history::{History, Nodes, Why};
use crate::limits::Limits;
use crate::observe::Seen;
use crate::owner::Part;
use crate::sizes::Sizes;
use crate::step::Step;
use std::collections::BTreeSet;
use tokio::time::Instant;
use uuid::Uuid;

mod address;
mod health;
mod images;
mod leftovers;
mod machines;
mod network;
mod removal;
mod servers;
mod workers;

pub(crate) use health::{Health, health};
pub(crate) use machines::machines;

/// All that a plan follows from.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) sizes: &'a Sizes,
    pub(crate) seen: &'a Seen,
    pub(crate) nodes: &'a Nodes,
    pub(crate) history: &'a History,
    pub(crate) limits: &'a Limits,
    pub(crate) now: Instant,
}

impl View<'_> {
    /// Whether so much time has passed since.
    fn over(&self, since: Option<Instant>, limit: std::time::Duration) -> bool {
        since.is_some_and(|since| self.now.saturating_duration_since(since) >= limit)
    }
}

impl View<'_> {
    /// Whether one more machine of a part may be replaced; if not, why.
    fn may_replace(&self, part: &Part) -> Result<(), String> {
        let replaced = self.history.replaced(part);
        let wanted = match part {
            Part::Pool(pool) => self.cluster.desired(self.sizes, pool),
            _ => self.cluster.spec().servers.count,
        };
        if replaced < self.limits.replacements.max(wanted) {
            return Ok(());
        }
        Err(format!("{replaced} of {part} were replaced and not all got well: see a serial console"))
    }
}

/// What to do next.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Steps that can be taken at the same time, in the order in which to begin.
    pub(crate) steps: Vec<Step>,
    /// Steps that did not help and are due again later.
    pub(crate) later: Vec<Step>,
    /// What is waited for.
    pub(crate) waiting: Vec<String>,
    /// What a person should know of.
    pub(crate) problems: Vec<String>,
    /// What a person may want to know of, though nothing is wrong.
    pub(crate) notes: Vec<String>,
    /// Machines that are to go from now on.
    pub(crate) condemned: Vec<(Uuid, Part, Why)>,
}

impl Plan {
    fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    fn wait(&mut self, what: String) {
        self.waiting.push(what);
    }

    fn problem(&mut self, what: String) {
        self.problems.push(what);
    }

    /// Whether nothing is left to do or to wait for, and nothing is wrong.
    pub(crate) fn is_settled(&self) -> bool {
        self.steps.is_empty()
            && self.later.is_empty()
            && self.waiting.is_empty()
            && self.problems.is_empty()
            && self.condemned.is_empty()
    }

    /// All steps that are wanted, now or later.
    pub(crate) fn wanted(&self) -> BTreeSet<Step> {
        self.steps.iter().chain(&self.later).cloned().collect()
    }

    /// Puts off the steps that were taken not long ago, and tells of those that were taken often.
    fn space_out(&mut self, view: &View<'_>) {
        let steps = std::mem::take(&mut self.steps);
        for step in steps {
            let taken = view.history.taken(&step);
            // Draining goes on Pod by Pod, and each is a step forward.
            let goes_on = matches!(step, Step::Drain(_)) && taken.is_none_or(|taken| taken.failure.is_none());
            if let Some(taken) = taken.filter(|taken| taken.times >= view.limits.tries && !goes_on) {
                let reason = taken.failure.as_ref().map_or("it was accepted and did not help", |why| &why.reason);
                self.problems.push(format!("{step}: tried {} times: {reason}", taken.times));
            }
            let early = taken.is_some_and(|taken| taken.again_at > view.now) && !goes_on;
            if early { self.later.push(step) } else { self.steps.push(step) }
        }
    }
}

/// What to do next.
pub(crate) fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let spec = view.cluster.spec();
    if !view.seen.project {
        match spec.missing_project {
            MissingProject::Create => plan.step(Step::CreateProject { project: spec.project.clone() }),
            MissingProject::Refuse => {
                plan.problem(format!("there is no project {}: create it, or name another", spec.project));
            }
        }
    } else {
        images::plan(view, &mut plan);
        leftovers::plan(view, &mut plan);
        let network = network::plan(view, &mut plan);
        let servers = machines(view, &Part::Servers);
        address::plan(view, &servers, &mut plan);
        let stand = servers::plan(view, &servers, &network, &mut plan);
        for pool in view.cluster.pools().keys() {
            workers::plan(view, pool, &stand, &mut plan);
        }
    }
    plan.space_out(view);
    plan
}

#[cfg(test)]
mod tests;
