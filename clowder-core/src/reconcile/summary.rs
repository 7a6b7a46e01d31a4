//! Turns one round's findings into a status for each model.

use super::Memory;
use crate::chain;
use crate::desired::{DesiredModel, DesiredModels};
use crate::model::ModelName;
use crate::node::Inventory;
use crate::plan::{Action, Cause, Plan, Unplaced};
use crate::status::{ModelPhase, ModelStatus, ModelStatuses, TrialStatus};
use crate::worker::{Worker, WorkerState};
use std::collections::HashMap;
use std::sync::Arc;

/// A worker that waits so long after its last exit, in milliseconds, has crashed many times in a row: a model that has
/// none that serves counts as failed.
const LONG_WAIT: u64 = 5_000;

/// What the reason begins with that concerns workers on trial alone.
const ON_TRIAL: &str = "on trial: ";

pub(super) fn statuses(desired: &DesiredModels, inventory: &Inventory, plan: &Plan, memory: &Memory) -> ModelStatuses {
    let mut found: HashMap<&ModelName, Found<'_>> = HashMap::new();
    for worker in inventory.workers.values() {
        found.entry(&worker.model).or_default().workers.push(Arc::clone(worker));
    }
    for unplaced in &plan.unplaced {
        let found = found.entry(&unplaced.spec.name).or_default();
        found.unplaced.get_or_insert_with(|| told(unplaced, desired));
        found.changes |= unplaced.cause == Cause::Leaving;
    }
    for action in &plan.actions {
        let model = match action {
            Action::Start(start) => Some(&start.spec.name),
            Action::Stop { worker } => inventory.workers.get(worker).map(|worker| &worker.model),
        };
        let Some(found) = model.map(|model| found.entry(model).or_default()) else { continue };
        match (action, memory.failures.get(action.worker())) {
            (Action::Start(_), Some(failure)) => drop(found.not_applied.get_or_insert(failure)),
            (_, None) => found.changes = true,
            _ => {}
        }
    }
    let status = |(name, model): (&ModelName, &DesiredModel)| {
        let mut found = found.remove(name).unwrap_or_default();
        found.moving = is_moving(&found, inventory);
        let status = status(model, found, memory);
        (name.clone(), Arc::new(status))
    };
    desired.iter().map(status).collect()
}

/// Why replicas have no place, and whether they are on trial.
fn told(unplaced: &Unplaced, desired: &DesiredModels) -> String {
    let own = desired.get(&unplaced.spec.name).is_none_or(|model| model.spec.engine == unplaced.spec.engine);
    format!("{}{}", if own { "" } else { ON_TRIAL }, unplaced.reason)
}

/// What one round found of a model.
#[derive(Default)]
struct Found<'a> {
    workers: Vec<Arc<Worker>>,
    unplaced: Option<String>,
    not_applied: Option<&'a str>,
    /// Whether the plan does something for it, or knows that it will.
    changes: bool,
    moving: bool,
}

/// Whether workers of a model on cordoned nodes wait for others that are on their way. What fails, or has no place, is not: who
/// empties a node is not to wait for what may never come.
fn is_moving(found: &Found<'_>, inventory: &Inventory) -> bool {
    let is_cordoned = |worker: &Worker| inventory.nodes.get(&worker.node).is_some_and(|node| node.is_cordoned());
    let (leave, others): (Vec<&Worker>, Vec<&Worker>) = found
        .workers
        .iter()
        .map(Arc::as_ref)
        .filter(|worker| worker.state.is_live())
        .partition(|worker| is_cordoned(worker));
    let on_the_way = |worker: &&Worker| {
        matches!(worker.state, WorkerState::Pending | WorkerState::Fetching(_) | WorkerState::Starting)
    };
    !leave.is_empty() && (found.changes || others.iter().any(on_the_way))
}

fn status(model: &DesiredModel, found: Found<'_>, memory: &Memory) -> ModelStatus {
    let spec = &model.spec;
    let Found { workers, unplaced, not_applied, moving, .. } = found;
    let trial = TrialStatus::of(spec, spec.replicas, &workers);
    let refused = memory.inspections.refusal(spec);
    let reason = refused
        .map(|error| chain(error))
        .or_else(|| unplaced.or_else(|| not_applied.map(str::to_owned)))
        .or_else(|| reason(&workers, trial.as_ref()))
        .or_else(|| Some(format!("{ON_TRIAL}{}", chain(memory.inspections.refusal(&spec.on_trial()?)?))));
    let phase = phase(model, trial.as_ref(), &workers, refused.is_some_and(|error| !error.is_transient()));
    ModelStatus {
        spec: Arc::clone(spec),
        generation: model.generation,
        phase,
        reason: reason.filter(|_| !matches!(phase, ModelPhase::Ready | ModelPhase::Idle)),
        facts: memory.inspections.header(spec),
        memory: memory.promise(spec),
        workers,
        moving,
    }
}

/// Why a worker of a model does not serve; of those on trial, where no other has anything to say.
fn reason(workers: &[Arc<Worker>], trial: Option<&TrialStatus>) -> Option<String> {
    let (on_trial, others): (Vec<_>, Vec<_>) =
        workers.iter().partition(|worker| trial.is_some_and(|trial| trial.revision == worker.revision));
    let told = |workers: Vec<&Arc<Worker>>| workers.iter().find_map(|worker| worker.state.reason().map(str::to_owned));
    told(others).or_else(|| told(on_trial).map(|reason| format!("{ON_TRIAL}{reason}")))
}

fn phase(
    model: &DesiredModel,
    trial: Option<&TrialStatus>,
    workers: &[Arc<Worker>],
    refused_for_good: bool,
) -> ModelPhase {
    let (revision, replicas) = (model.spec.revision(), model.spec.rollout.shares(model.spec.replicas).own);
    let is_tried = trial.is_none_or(|trial| trial.ready >= trial.replicas);
    // Those on trial are no reason to call the model failed.
    let workers: Vec<&Arc<Worker>> =
        workers.iter().filter(|worker| trial.is_none_or(|trial| trial.revision != worker.revision)).collect();
    let serving = workers.iter().copied().filter(|worker| worker.serving().is_some());
    let (current, old): (Vec<_>, Vec<_>) = serving.partition(|worker| worker.revision == revision);
    let any = |test: fn(&WorkerState) -> bool| {
        workers.iter().any(|worker| worker.revision == revision && test(&worker.state))
    };
    let crashing = workers.iter().any(|worker| match (&worker.state, &worker.last_exit) {
        (WorkerState::Backoff { retry_at_ms, .. }, Some(exit)) => retry_at_ms.saturating_sub(exit.at_ms) >= LONG_WAIT,
        _ => false,
    });
    let serves = !old.is_empty() || !current.is_empty() || trial.is_some_and(|trial| trial.ready > 0);
    if model.spec.replicas == 0 {
        ModelPhase::Idle
    } else if old.is_empty() && is_tried && current.len() >= replicas as usize {
        ModelPhase::Ready
    } else if serves {
        ModelPhase::Degraded
    } else if refused_for_good || crashing || any(|state| matches!(state, WorkerState::Failed { .. })) {
        ModelPhase::Failed
    } else if any(|state| matches!(state, WorkerState::Fetching(_))) {
        ModelPhase::Fetching
    } else if any(|state| matches!(state, WorkerState::Starting | WorkerState::Backoff { .. })) {
        ModelPhase::Starting
    } else {
        ModelPhase::Pending
    }
}
