//! What happened to a model's workers between two of its statuses.

use crate::details::WorkerStatus;
use crate::observe::UNSCHEDULABLE;
use crate::status::Status;
use clowder_core::Worker;
use std::sync::Arc;

/// Events of one change that are told at most.
const MOST: usize = 20;

/// Something that a person wants to know of a worker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) worker: String,
    pub(super) reason: &'static str,
    pub(super) note: String,
    pub(super) is_trouble: bool,
}

/// What happened from `before` to `after`, by what both list; `workers` are those of `after`. A resource says which of its
/// workers were there before, so that a controller that has just begun tells nothing twice. Of a model with more workers
/// than a status lists nothing is told: who is listed says little of who is there.
pub(super) fn happened(before: Option<&Status>, after: &Status, workers: &[Arc<Worker>]) -> Vec<Happened> {
    let is_whole = |status: &Status| status.workers.len() == status.replicas as usize;
    if !is_whole(after) || before.is_some_and(|before| !is_whole(before)) {
        return Vec::new();
    }
    let listed = before.map(|before| before.workers.as_slice()).unwrap_or_default();
    let find = |workers: &'_ [WorkerStatus], name: &str| workers.iter().position(|worker| worker.name == name);
    let gone = listed.iter().filter(|was| find(&after.workers, &was.name).is_none() && !is_leaving(was));
    let gone =
        gone.map(|was| told(was, "WorkerStopped", false, format!("worker {} on {} is gone", was.name, was.node)));
    let changed = after.workers.iter().filter_map(|now| {
        let was = find(listed, &now.name).map(|at| &listed[at]);
        let exit =
            workers.iter().find(|worker| worker.id.as_str() == now.name).and_then(|worker| worker.last_exit.as_ref());
        of_one(was, now, exit.map(|exit| exit.reason.as_str()))
    });
    gone.chain(changed).take(MOST).collect()
}

fn of_one(was: Option<&WorkerStatus>, now: &WorkerStatus, last_exit: Option<&str>) -> Option<Happened> {
    let (name, node) = (&now.name, &now.node);
    let left = was.is_none_or(is_leaving);
    if is_leaving(now) {
        let note = || format!("worker {name} on {node} finishes what it has, and goes");
        return (!left).then(|| told(now, "WorkerStopped", false, note()));
    }
    let said = was.and_then(|was| was.reason.as_deref());
    match now.reason.as_deref() {
        Some(reason) if said != Some(reason) => {
            let word = match reason {
                reason if reason.starts_with(UNSCHEDULABLE) => "WorkerUnschedulable",
                _ if last_exit.is_some() => "WorkerCrashed",
                _ => "WorkerHeldUp",
            };
            Some(told(now, word, true, format!("worker {name} on {node}: {reason}")))
        }
        // It was up again before anybody saw it down.
        None if said.is_none() && was.is_some_and(|was| now.restarts > was.restarts) => {
            let end = last_exit.unwrap_or("its process ended");
            Some(told(now, "WorkerCrashed", true, format!("worker {name} on {node} was started again: {end}")))
        }
        None if left => Some(told(now, "WorkerStarted", false, format!("worker {name} is started on {node}"))),
        _ => None,
    }
}

fn told(worker: &WorkerStatus, reason: &'static str, is_trouble: bool, note: String) -> Happened {
    Happened { worker: worker.name.clone(), reason, note, is_trouble }
}

fn is_leaving(worker: &WorkerStatus) -> bool {
    matches!(worker.state.as_str(), "draining" | "stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::ModelSpec;
    use clowder_core::status::{ModelPhase, ModelStatus};
    use clowder_core::worker::{LastExit, WorkerState};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn worker(ordinal: u32, state: WorkerState) -> Worker {
        let mut worker = Worker::new(format!("m-0-{ordinal}").parse().unwrap(), "m".parse().unwrap(), "a".into());
        worker.state = state;
        worker
    }

    fn crashed(state: WorkerState, restarts: u32) -> Worker {
        let last_exit = Some(LastExit { reason: "exit code 1: no memory".to_owned(), at_ms: 0 });
        Worker { restarts, last_exit, ..worker(0, state) }
    }

    fn backoff(reason: &str) -> WorkerState {
        WorkerState::Backoff { reason: reason.to_owned(), retry_at_ms: 0 }
    }

    fn status(workers: &[&Worker]) -> (Status, Vec<Arc<Worker>>) {
        let spec = Arc::new(ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap()));
        let workers: Vec<Arc<Worker>> = workers.iter().map(|worker| Arc::new(Worker::clone(worker))).collect();
        let (phase, listed) = (ModelPhase::Ready, workers.clone());
        let model = ModelStatus {
            spec,
            generation: 1,
            phase,
            reason: None,
            facts: None,
            memory: None,
            workers: listed,
            moving: false,
        };
        (Status::observed(&model, None, &Time(Timestamp::from_second(1).unwrap())), workers)
    }

    fn between(before: &[&Worker], after: &[&Worker]) -> Vec<String> {
        let (after, workers) = status(after);
        let happened = happened(Some(&status(before).0), &after, &workers);
        happened.into_iter().map(|happened| format!("{}: {}", happened.reason, happened.note)).collect()
    }

    #[test]
    fn workers_come_and_go() {
        let (ready, pending) = (worker(0, WorkerState::Ready), worker(1, WorkerState::Pending));
        let draining = worker(0, WorkerState::Draining);
        let both = [&ready, &pending];
        assert_eq!(between(&[&ready], &both), ["WorkerStarted: worker m-0-1 is started on a"]);
        let stopping = ["WorkerStopped: worker m-0-0 on a finishes what it has, and goes"];
        assert_eq!(between(&both, &[&draining, &pending]), stopping);
        assert!(between(&[&draining, &pending], &[&pending]).is_empty(), "that is told already");
        assert_eq!(between(&both, &[&pending]), ["WorkerStopped: worker m-0-0 on a is gone"]);
        assert!(between(&both, &both).is_empty());
        assert_eq!(between(&[&draining], &[&ready]), ["WorkerStarted: worker m-0-0 is started on a"]);
        let (first, workers) = status(&both);
        assert_eq!(happened(None, &first, &workers).len(), 2);
    }

    #[test]
    fn trouble_is_told_once_and_by_its_kind() {
        let (ready, starting) = (worker(0, WorkerState::Ready), crashed(WorkerState::Starting, 1));
        let down = crashed(backoff("the worker failed: exit code 1: no memory"), 0);
        let crash = ["WorkerCrashed: worker m-0-0 on a: the worker failed: exit code 1: no memory"];
        assert_eq!(between(&[&ready], &[&down]), crash);
        assert!(between(&[&down], &[&down]).is_empty());
        assert!(between(&[&down], &[&starting]).is_empty());
        let again = ["WorkerCrashed: worker m-0-0 on a was started again: exit code 1: no memory"];
        assert_eq!(between(&[&ready], &[&starting]), again);
        let nowhere = worker(0, backoff(&format!("{UNSCHEDULABLE}: 0/3 nodes are available")));
        let told = between(&[], &[&nowhere]);
        assert!(told[0].starts_with("WorkerUnschedulable: worker m-0-0 on a: the scheduler"), "{told:?}");
        let no_image = worker(0, backoff("its image cannot be had: no such image"));
        assert!(between(&[], &[&no_image])[0].starts_with("WorkerHeldUp: "));
    }

    #[test]
    fn no_more_is_told_than_anybody_reads() {
        let many: Vec<Worker> = (0..300).map(|ordinal| worker(ordinal, WorkerState::Pending)).collect();
        let many: Vec<&Worker> = many.iter().collect();
        assert_eq!(between(&[], &many[..100]).len(), MOST);
        assert!(between(&[], &many).is_empty(), "not all of them are listed");
    }
}
