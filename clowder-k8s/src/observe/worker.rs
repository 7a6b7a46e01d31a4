//! A Pod as core's worker.

use super::exit::{describe, quoted};
use crate::names::WORKER_ANNOTATION;
use crate::pod::{FETCH_CONTAINER, PORT, WORKER_CONTAINER, WorkerNote};
use clowder_core::node::NodeName;
use clowder_core::store::FetchProgress;
use clowder_core::worker::{LastExit, Worker, WorkerState};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::net::IpAddr;

/// How a program of Clowder ends where trying again does not help.
const NEVER_HELPS: i32 = 3;
/// How a worker ends whose model was removed from the node before it held it.
const MODEL_REMOVED: i32 = 4;
/// kubelet waits so long before it starts a container again that has failed for the second time, in milliseconds.
const FIRST_WAIT_MS: u64 = 10_000;
/// And no longer than so long, however often it failed.
const LONGEST_WAIT_MS: u64 = 300_000;
/// What a worker says, and more, whose Pod the scheduler puts nowhere.
pub(crate) const UNSCHEDULABLE: &str = "the scheduler finds no place for its Pod";
/// States that a container waits in without there being anything wrong.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// A worker as its Pod shows it; `None` where the Pod is no worker's.
pub fn worker(pod: &Pod) -> Option<Worker> {
    let id = pod.metadata.name.as_deref()?.parse().ok()?;
    let note = pod.metadata.annotations.as_ref()?.get(WORKER_ANNOTATION)?;
    let note: WorkerNote = serde_json::from_str(note).ok()?;
    let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let mut worker = Worker::new(id, note.model, bound.map_or(note.node, NodeName));
    worker.revision = note.revision;
    worker.memory = note.memory;
    worker.slots = note.slots;
    worker.context = note.context.unwrap_or(0);
    let seen = Seen::new(pod);
    worker.state = seen.state();
    worker.restarts = seen.main.map_or(0, |main| main.restart_count.max(0).unsigned_abs());
    worker.last_exit = seen.last_exit();
    worker.refused = worker.state.is_live() && seen.is_refused();
    // Where others shall be scheduled, Pods that are over count no more, and all others do.
    worker.keeps_memory = !worker.holds_memory() && !seen.is_over();
    if matches!(worker.state, WorkerState::Ready | WorkerState::Draining) {
        worker.endpoint = seen.endpoint();
    }
    Some(worker)
}

/// What a Pod's status tells, taken apart.
struct Seen<'a> {
    leaving: bool,
    status: Option<&'a PodStatus>,
    fetch: Option<&'a ContainerStatus>,
    main: Option<&'a ContainerStatus>,
}

impl<'a> Seen<'a> {
    fn new(pod: &'a Pod) -> Self {
        let status = pod.status.as_ref();
        let named = |statuses: Option<&'a Vec<ContainerStatus>>, name: &str| {
            statuses?.iter().find(|container| container.name == name)
        };
        Self {
            leaving: pod.metadata.deletion_timestamp.is_some(),
            status,
            fetch: named(status.and_then(|status| status.init_container_statuses.as_ref()), FETCH_CONTAINER),
            main: named(status.and_then(|status| status.container_statuses.as_ref()), WORKER_CONTAINER),
        }
    }

    fn state(&self) -> WorkerState {
        if self.is_over() {
            return WorkerState::Stopped;
        }
        if self.leaving {
            return WorkerState::Draining;
        }
        // kubelet fetches once for a Pod and then starts the worker alone: only another Pod has a model again.
        if self.lacks_its_model() {
            return WorkerState::Stopped;
        }
        if let Some(condition) = self.condition("PodScheduled").filter(|condition| condition.status == "False") {
            return self.unscheduled(condition);
        }
        match self.fetching() {
            Some(state) => state,
            None => self.serving(),
        }
    }

    /// Whether the scheduler puts it nowhere, which is to say not on the node that it was planned for. A gate or an error of
    /// the scheduler says nothing about the node.
    fn is_refused(&self) -> bool {
        self.condition("PodScheduled").is_some_and(|condition| {
            condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
        })
    }

    /// Whether all its containers ended and none is started again.
    fn is_over(&self) -> bool {
        matches!(self.phase(), "Failed" | "Succeeded")
    }

    fn lacks_its_model(&self) -> bool {
        let Some(main) = self.main else { return false };
        let state = main.state.as_ref();
        let ended = state.and_then(|state| state.terminated.as_ref());
        let end = ended.or_else(|| waiting(state).and_then(|_| last_end(main)));
        end.is_some_and(|end| end.exit_code == MODEL_REMOVED)
    }

    fn phase(&self) -> &str {
        self.status.and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> Option<&'a PodCondition> {
        self.status?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
    }

    fn unscheduled(&self, condition: &PodCondition) -> WorkerState {
        let said = condition.message.as_deref().map(quoted).filter(|said| !said.is_empty());
        let reason = match said {
            Some(said) => format!("{UNSCHEDULABLE}: {said}"),
            None => UNSCHEDULABLE.to_owned(),
        };
        // It tries whenever something changes, and not by the clock.
        WorkerState::Backoff { reason, retry_at_ms: millis(condition.last_transition_time.as_ref()) }
    }

    /// The state while the model is not there; `None` once it is.
    fn fetching(&self) -> Option<WorkerState> {
        let Some(fetch) = self.fetch else { return Some(WorkerState::Pending) };
        if let Some(end) = fetch.state.as_ref().and_then(|state| state.terminated.as_ref()) {
            return (end.exit_code != 0).then(|| failed("fetching the model", end, fetch.restart_count));
        }
        // It is started again all the same; until it succeeds, what it said for good stands.
        if let Some(end) = last_end(fetch).filter(|end| end.exit_code == NEVER_HELPS) {
            return Some(failed("fetching the model", end, fetch.restart_count));
        }
        let state = fetch.state.as_ref();
        if state.is_some_and(|state| state.running.is_some()) {
            return Some(WorkerState::Fetching(FetchProgress::default()));
        }
        Some(match waiting(state) {
            None => WorkerState::Pending,
            Some(waiting) => match (waiting.reason.as_deref(), last_end(fetch)) {
                (Some("CrashLoopBackOff"), Some(end)) => failed("fetching the model", end, fetch.restart_count),
                _ => self.held_up(waiting),
            },
        })
    }

    /// The state once the model is there.
    fn serving(&self) -> WorkerState {
        let Some(main) = self.main else { return WorkerState::Pending };
        let state = main.state.as_ref();
        if let Some(end) = state.and_then(|state| state.terminated.as_ref()) {
            return failed("the worker", end, main.restart_count);
        }
        if let Some(waiting) = waiting(state) {
            return match (waiting.reason.as_deref(), last_end(main)) {
                (Some("CrashLoopBackOff"), Some(end)) => failed("the worker", end, main.restart_count),
                (_, Some(end)) if end.exit_code == NEVER_HELPS => failed("the worker", end, main.restart_count),
                _ => self.held_up(waiting),
            };
        }
        if let Some(end) = last_end(main).filter(|end| end.exit_code == NEVER_HELPS && !main.ready) {
            return failed("the worker", end, main.restart_count);
        }
        if self.condition("Ready").is_some_and(|ready| ready.status == "True") {
            return WorkerState::Ready;
        }
        if main.ready {
            // kubelet sets both at once: the Pod's own is taken back where the node is not heard of any more.
            let at = self.condition("Ready").and_then(|ready| ready.last_transition_time.as_ref());
            let reason = "its node does not answer".to_owned();
            return WorkerState::Backoff { reason, retry_at_ms: millis(at) };
        }
        WorkerState::Starting
    }

    /// A container that is not yet there, for no fault of its own.
    fn held_up(&self, waiting: &ContainerStateWaiting) -> WorkerState {
        match waiting.reason.as_deref() {
            None => WorkerState::Pending,
            Some(reason) if ON_ITS_WAY.contains(&reason) => WorkerState::Pending,
            Some(word) => {
                let what = match word {
                    "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                        "its image cannot be had"
                    }
                    "CreateContainerConfigError" => "its container lacks something",
                    _ => "its container cannot be made",
                };
                let said = waiting.message.as_deref().map(quoted).filter(|said| !said.is_empty());
                let reason = format!("{what}: {}", said.unwrap_or_else(|| word.to_owned()));
                let since = self.condition("PodScheduled").and_then(|when| when.last_transition_time.as_ref());
                WorkerState::Backoff { reason, retry_at_ms: millis(since) }
            }
        }
    }

    fn last_exit(&self) -> Option<LastExit> {
        let of = |container: &'a ContainerStatus| {
            let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
            now.or_else(|| last_end(container))
        };
        let end = self.main.and_then(of).or_else(|| self.fetch.and_then(of).filter(|end| end.exit_code != 0))?;
        Some(LastExit { reason: describe(end), at_ms: millis(end.finished_at.as_ref()) })
    }

    fn endpoint(&self) -> Option<String> {
        let ip: IpAddr = self.status?.pod_ip.as_deref()?.parse().ok()?;
        Some(match ip {
            IpAddr::V4(ip) => format!("http://{ip}:{PORT}"),
            IpAddr::V6(ip) => format!("http://[{ip}]:{PORT}"),
        })
    }
}

fn waiting(state: Option<&ContainerState>) -> Option<&ContainerStateWaiting> {
    state?.waiting.as_ref()
}

fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.last_state.as_ref()?.terminated.as_ref()
}

/// A container that ended and is started again by kubelet, or one that never will do better.
fn failed(what: &str, end: &ContainerStateTerminated, restarts: i32) -> WorkerState {
    let reason = format!("{what} failed: {}", describe(end));
    if end.exit_code == NEVER_HELPS {
        return WorkerState::Failed { reason };
    }
    let doubled = 2_u64.saturating_pow(restarts.max(0).unsigned_abs());
    let wait = FIRST_WAIT_MS.saturating_mul(doubled).min(LONGEST_WAIT_MS);
    WorkerState::Backoff { reason, retry_at_ms: millis(end.finished_at.as_ref()).saturating_add(wait) }
}

fn millis(time: Option<&Time>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.0.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests;
