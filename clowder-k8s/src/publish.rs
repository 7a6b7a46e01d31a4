//! Writes how models fare into their resources, and tells of it by events.

mod happened;

use crate::call::{CallError, call};
use crate::desired::{KubernetesDesired, Resource, View};
use crate::model::{Model, Spec};
use crate::names::FIELD_MANAGER;
use crate::status::{Phase, Status};
use clowder_core::reconcile::Backoff;
use clowder_core::status::ModelStatuses;
use clowder_core::{chain, until};
use futures::{StreamExt, stream};
use happened::{Happened, happened};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Client, Resource as _};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The least time between two writes of one resource's status.
const PACE: Duration = Duration::from_secs(1);
/// The least time between two where only the progress of a fetch differs.
const PROGRESS_PACE: Duration = Duration::from_secs(5);
/// Between two tries of a write that fails.
const RETRY: Backoff = Backoff { first: PACE, most: Duration::from_secs(60) };
/// Resources that are written at the same time.
const AT_ONCE: usize = 8;
/// Who reports the events.
const REPORTER: &str = "clowder-controller";

/// Writes the status of each `Model` resource, where and only where it changes, and events of changes of its phase and of
/// what happens to its workers.
///
/// One at a time shall run in a cluster: two would tell the same twice.
pub struct StatusWriter {
    namespace: String,
    models: Api<Model>,
    recorder: Recorder,
    view: watch::Receiver<Option<Arc<View>>>,
    statuses: watch::Receiver<Arc<ModelStatuses>>,
    written: BTreeMap<String, Written>,
}

/// What is known of a resource's status.
struct Written {
    uid: String,
    /// What it was when last written or heard of.
    status: Option<Status>,
    /// Whether the watch has told of that.
    confirmed: bool,
    not_before: Instant,
    failures: u32,
}

/// A status to be written.
struct Due {
    name: String,
    uid: String,
    status: Status,
    is_new_phase: bool,
    happened: Vec<Happened>,
}

impl StatusWriter {
    /// A writer of what `statuses` says of the models that `desired` records. It does nothing until it is
    /// [`run`](Self::run).
    pub fn new(client: Client, desired: &KubernetesDesired, statuses: watch::Receiver<Arc<ModelStatuses>>) -> Self {
        Self {
            namespace: desired.namespace().to_owned(),
            models: Api::namespaced(client.clone(), desired.namespace()),
            recorder: Recorder::new(client, Reporter::from(REPORTER)),
            view: desired.view(),
            statuses,
            written: BTreeMap::new(),
        }
    }

    /// Writes until `shutdown`, or until what it writes of ends.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let writing = async {
            loop {
                let due = self.round().await;
                let changed = tokio::select! {
                    changed = self.view.changed() => changed,
                    changed = self.statuses.changed() => changed,
                    () = until(due) => Ok(()),
                };
                if changed.is_err() {
                    return;
                }
            }
        };
        shutdown.run_until_cancelled(writing).await;
    }

    /// Writes what there is to write; says when there will be more of it without anything changing.
    async fn round(&mut self) -> Option<Instant> {
        let view = self.view.borrow_and_update().clone()?;
        let statuses = self.statuses.borrow_and_update().clone();
        let (writes, next) = plan(&view, &statuses, &mut self.written, Instant::now());
        let (models, recorder, namespace) = (&self.models, &self.recorder, self.namespace.as_str());
        let writes = writes.into_iter().map(|due| async move {
            let outcome = write(models, &due).await;
            if outcome.is_ok() {
                tell(recorder, namespace, &due).await;
            }
            (due, outcome)
        });
        let outcomes: Vec<_> = stream::iter(writes).buffer_unordered(AT_ONCE).collect().await;
        let now = Instant::now();
        let retries = outcomes.into_iter().filter_map(|(due, outcome)| self.learn(due, outcome, now));
        retries.chain(next).min()
    }

    /// Takes in what became of a write; says when it is to be tried again.
    fn learn(&mut self, due: Due, outcome: Result<(), CallError>, now: Instant) -> Option<Instant> {
        let written = self.written.get_mut(&due.name)?;
        match outcome {
            Ok(()) => {
                (written.status, written.confirmed) = (Some(due.status), false);
                (written.failures, written.not_before) = (0, now + PACE);
                None
            }
            // It is being deleted; the watch will say so.
            Err(error) if error.is_absent() || error.is_conflict() => {
                written.not_before = now + RETRY.most;
                None
            }
            Err(error) => {
                tracing::warn!(model = due.name, error = chain(&error), "the status of a model is not written");
                written.failures = written.failures.saturating_add(1);
                written.not_before = now + RETRY.wait(written.failures);
                Some(written.not_before)
            }
        }
    }
}

/// The statuses that differ from what the resources say and whose time has come, and when the time of the others comes.
fn plan(
    view: &View,
    statuses: &ModelStatuses,
    written: &mut BTreeMap<String, Written>,
    now: Instant,
) -> (Vec<Due>, Option<Instant>) {
    written.retain(|name, written| view.resources.get(name).is_some_and(|resource| resource.uid == written.uid));
    let clock = this_second();
    let (mut writes, mut next) = (Vec::new(), None::<Instant>);
    for (name, resource) in &view.resources {
        let known = written.entry(name.clone()).or_insert_with(|| Written {
            uid: resource.uid.clone(),
            status: resource.status.clone(),
            confirmed: true,
            not_before: now,
            failures: 0,
        });
        if resource.status == known.status {
            known.confirmed = true;
        } else if known.confirmed {
            // Somebody else wrote it.
            known.status.clone_from(&resource.status);
        }
        let Some(status) = wanted(resource, statuses, known.status.as_ref(), &clock) else { continue };
        if known.status.as_ref() == Some(&status) {
            continue;
        }
        let before = known.status.as_ref();
        let not_before = match before {
            Some(before) if differ_in_progress_alone(before, &status) => known.not_before + (PROGRESS_PACE - PACE),
            _ => known.not_before,
        };
        if not_before > now {
            next = Some(next.map_or(not_before, |next| next.min(not_before)));
            continue;
        }
        let is_new_phase = before.is_none_or(|before| before.phase != status.phase);
        let workers = resource.model.as_ref().and_then(|model| statuses.get(model));
        let workers = workers.map(|model| model.workers.as_slice()).unwrap_or_default();
        let happened = happened(before, &status, workers);
        writes.push(Due { name: name.clone(), uid: resource.uid.clone(), status, is_new_phase, happened });
    }
    (writes, next)
}

/// A fetch gets on all the time, and who looks at it does not.
fn differ_in_progress_alone(one: &Status, other: &Status) -> bool {
    let without_progress = |status: &Status| {
        let mut status = status.clone();
        status.workers.iter_mut().for_each(|worker| worker.fetch = None);
        status
    };
    without_progress(one) == without_progress(other)
}

/// What a resource's status should be; `None` where nothing is known of it yet.
fn wanted(resource: &Resource, statuses: &ModelStatuses, before: Option<&Status>, now: &Time) -> Option<Status> {
    let told = resource.model.as_ref().and_then(|model| statuses.get(model));
    match (&resource.problem, told) {
        (None, told) => told.map(|told| Status::observed(told, before, now)),
        (Some(problem), Some(told)) if resource.is_outdated() => {
            Some(Status::outdated(problem, resource.generation, told, before, now))
        }
        // What is missing keeps nobody from serving.
        (Some(_), Some(told)) if told.ready() > 0 => Some(Status::observed(told, before, now)),
        // The loop has not got to the model yet: what was said of its workers stands.
        (Some(_), None) if resource.model.is_some() && before.is_some() => None,
        (Some(problem), told) => {
            Some(Status::refused(problem, resource.generation, told.map(Arc::as_ref), before, now))
        }
    }
}

async fn write(models: &Api<Model>, due: &Due) -> Result<(), CallError> {
    let patch = json!({
        "apiVersion": Model::api_version(&()),
        "kind": Model::kind(&()),
        "metadata": { "name": due.name, "uid": due.uid },
        "status": due.status,
    });
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    call(models.patch_status(&due.name, &apply, &Patch::Apply(&patch))).await.map(drop)
}

/// Events of what changed. That one is not told changes nothing else.
async fn tell(recorder: &Recorder, namespace: &str, due: &Due) {
    let mut model = Model::new(&due.name, Spec::new(""));
    model.metadata.namespace = Some(namespace.to_owned());
    model.metadata.uid = Some(due.uid.clone());
    let about: ObjectReference = model.object_ref(&());
    let phase = due.is_new_phase.then(|| Event {
        type_: event_type(matches!(due.status.phase, Phase::Degraded | Phase::Failed)),
        reason: due.status.phase.word().to_owned(),
        note: Some(due.status.message().to_owned()),
        action: "Reconcile".to_owned(),
        secondary: None,
    });
    let workers = due.happened.iter().map(|happened| Event {
        type_: event_type(happened.is_trouble),
        reason: happened.reason.to_owned(),
        note: Some(happened.note.clone()),
        action: "Reconcile".to_owned(),
        // Events of one kind are counted together; of two workers they are two.
        secondary: Some(pod_reference(namespace, &happened.worker)),
    });
    for event in workers.chain(phase) {
        if let Err(error) = call(recorder.publish(&event, &about)).await {
            tracing::warn!(model = due.name, error = chain(&error), "an event of a model is not told");
        }
    }
}

fn event_type(is_trouble: bool) -> EventType {
    if is_trouble { EventType::Warning } else { EventType::Normal }
}

fn pod_reference(namespace: &str, name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ObjectReference::default()
    }
}

/// The time in whole seconds, as the API server keeps it.
fn this_second() -> Time {
    let now = Timestamp::now();
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests;
