//! Asks an infrastructure for machines where replicas have no place, and for fewer where none have run for a while.
//!
//! Calls to the infrastructure are made beside the loop, one at a time: a rack that does not answer holds up no model. An
//! infrastructure has no watch, so it is looked at again and again.

use super::Backoff;
use crate::chain;
use crate::infra::{Infra, InfraError, InfraState, MachineState, PoolName};
use crate::node::{Inventory, NodeName};
use crate::plan::{Action, Plan};
use crate::worker::WorkerState;
use futures::FutureExt;
use std::collections::{BTreeMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

mod count;

/// Between two looks at an infrastructure of which nothing is asked.
const LOOK: Duration = Duration::from_secs(30);

/// How long a machine stays that has no worker, where nothing is said.
pub(super) const IDLE: Duration = Duration::from_secs(600);

/// How many machines there shall be of a pool, in place of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    from: u32,
    to: u32,
}

/// What to ask of an infrastructure.
type Changes = BTreeMap<PoolName, Change>;

/// What the loop remembers of machines.
#[derive(Default)]
pub(super) struct Machines {
    /// As last observed.
    state: Option<InfraState>,
    /// Running ones without workers, since when.
    idle: BTreeMap<NodeName, Instant>,
    pub(super) calls: JoinSet<Result<InfraState, InfraError>>,
    /// What was last asked for: not again before the next look, should the infrastructure show it late.
    asked: Changes,
    failures: u32,
    failure: Option<String>,
    look_at: Option<Instant>,
}

impl Machines {
    /// Asks for what the plan lacks and for what it can do without, and tells those who wait. Only begins it.
    pub(super) fn round(
        &mut self,
        infra: &Arc<dyn Infra>,
        idle: Duration,
        plan: &mut Plan,
        inventory: &Inventory,
        now: Instant,
    ) {
        self.observe(plan, inventory, now);
        let changes = self.changes(idle, plan, inventory, now);
        let due = self.look_at.is_none_or(|at| at <= now);
        let new = !changes.is_empty() && changes != self.asked && self.failures == 0;
        if self.calls.is_empty() && (due || new) {
            self.asked.clone_from(&changes);
            let calling = call(Arc::clone(infra), changes);
            self.calls.spawn(async move {
                // An infrastructure is somebody else's code: its panic is a failure like any other.
                AssertUnwindSafe(calling).catch_unwind().await.unwrap_or_else(|_| {
                    Err(InfraError::Unreachable {
                        what: "the call of the infrastructure".to_owned(),
                        source: "it panicked".into(),
                    })
                })
            });
        }
    }

    /// A call has ended.
    pub(super) fn called(&mut self, outcome: Result<InfraState, InfraError>, backoff: Backoff) {
        let wait = match outcome {
            Ok(state) => {
                (self.failures, self.failure, self.state) = (0, None, Some(state));
                LOOK
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "machines not asked for");
                self.failures = self.failures.saturating_add(1);
                self.failure = Some(chain(&error));
                backoff.wait(self.failures)
            }
        };
        self.look_at = Some(Instant::now() + wait);
    }

    /// When there is something to do next that was not yet due at `looked_at`.
    pub(super) fn next(&self, idle: Duration, looked_at: Instant) -> Option<Instant> {
        let look = self.look_at.filter(|_| self.calls.is_empty());
        let ends = self.idle.values().map(|since| *since + idle);
        look.into_iter().chain(ends).filter(|&at| at > looked_at).min()
    }

    /// Keeps count of which machines have had no worker, and since when.
    fn observe(&mut self, plan: &Plan, inventory: &Inventory, now: Instant) {
        let there = inventory.workers.values().filter(|worker| worker.state != WorkerState::Stopped);
        let to_be = plan.actions.iter().filter_map(|action| match action {
            Action::Start(start) => Some(&start.node),
            Action::Stop { .. } => None,
        });
        let busy: HashSet<&NodeName> = there.map(|worker| &worker.node).chain(to_be).collect();
        let machines = self.state.iter().flat_map(|state| state.pools.values()).flat_map(|pool| &pool.machines);
        let without =
            machines.filter(|machine| machine.state == MachineState::Running && !busy.contains(&machine.node));
        let since = |node: &NodeName| self.idle.get(node).copied().unwrap_or(now);
        self.idle = without.map(|machine| (machine.node.clone(), since(&machine.node))).collect();
    }

    fn changes(&self, idle: Duration, plan: &mut Plan, inventory: &Inventory, now: Instant) -> Changes {
        let Some(state) = &self.state else { return Changes::new() };
        let overdue: HashSet<&NodeName> =
            self.idle.iter().filter(|(_, since)| now.duration_since(**since) >= idle).map(|(node, _)| node).collect();
        if plan.unplaced.is_empty() {
            return count::fewer(state, &overdue);
        }
        let count::More { changes, told } = count::more(state, &overdue, plan, inventory);
        for (unplaced, notes) in plan.unplaced.iter_mut().zip(told) {
            for note in notes {
                unplaced.reason = format!("{}; {note}", unplaced.reason);
                if let (count::Note::Waits(_), Some(failure)) = (&note, &self.failure) {
                    unplaced.reason = format!("{}, not yet asked for: {failure}", unplaced.reason);
                }
            }
        }
        changes
    }
}

/// Asks for changes, those left out that no longer stand on what they were made for, and looks at what has become of it.
async fn call(infra: Arc<dyn Infra>, changes: Changes) -> Result<InfraState, InfraError> {
    let state = infra.observe().await?;
    if changes.is_empty() {
        return Ok(state);
    }
    let mut first_failure = None;
    for (pool, Change { from, to }) in &changes {
        if state.pools.get(pool).is_some_and(|pool| pool.desired == *from) {
            match infra.scale(pool, *to).await {
                Ok(()) => tracing::info!(%pool, from, to, "machines asked for"),
                Err(error) => drop(first_failure.get_or_insert(error)),
            }
        }
    }
    match first_failure {
        Some(error) => Err(error),
        None => infra.observe().await,
    }
}

#[cfg(test)]
mod tests;
