//! How a [`Model`](crate::Model) fares, as its resource tells it.

use crate::convert::InvalidModel;
use crate::details::count;
pub use crate::details::{CanaryStatus, Facts, FetchStatus, WorkerStatus};
use clowder_core::status::{ModelPhase, ModelStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest reason kept in a resource, in characters: what does not fit is in the controller's log.
const MAX_REASON: usize = 1024;

/// Workers that are listed at most; all are counted.
const MAX_WORKERS: usize = 256;

/// The model serves as asked.
const READY: &str = "Ready";
/// Something is being done for it.
const PROGRESSING: &str = "Progressing";
/// It serves worse than asked, or not at all.
const DEGRADED: &str = "Degraded";

/// How a model fares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where it stands.
    pub phase: Phase,
    /// Why it does not serve as asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Workers there shall be: those asked for, or those that the demand is worth at this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 0, max = i32::MAX), extend("format" = "int32"))]
    pub desired_replicas: Option<u32>,
    /// Workers there are, serving or not.
    #[schemars(range(min = 0, max = i32::MAX), extend("format" = "int32"))]
    pub replicas: u32,
    /// Workers that serve.
    #[schemars(range(min = 0, max = i32::MAX), extend("format" = "int32"))]
    pub ready: u32,
    /// How the settings on trial fare, where spec.rollout.canary has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CanaryStatus")]
    pub canary: Option<CanaryStatus>,
    /// The generation of the resource that this status speaks of.
    pub observed_generation: i64,
    /// Bytes of memory that one worker takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count")]
    pub memory: Option<u64>,
    /// What the model's file says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// The workers, the first 256 of them by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = MAX_WORKERS),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub workers: Vec<WorkerStatus>,
    /// The conditions Ready, Progressing and Degraded, for kubectl wait --for=condition=Ready.
    #[serde(default)]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// Where a model stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Recorded; nothing runs yet.
    Pending,
    /// Its file is on the way to a node.
    Fetching,
    /// Workers are loading it.
    Starting,
    /// Serves, with as many workers as asked.
    Ready,
    /// Serves, with fewer workers than asked, be it on trial, or with an older revision among them.
    Degraded,
    /// Does not serve, and needs somebody.
    Failed,
    /// Asked for with no replicas.
    Idle,
    /// A phase that the reader, or the writer, of this resource does not know.
    #[serde(other)]
    Unknown,
}

/// A condition in Kubernetes' own form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// The generation of the resource that it speaks of.
    pub observed_generation: i64,
    /// When it last became what it is.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_transition_time: Time,
    /// Why, in one word for programs.
    pub reason: String,
    /// Why, for a person.
    pub message: String,
}

impl Status {
    /// The status of a resource, from what the reconcile loop says of its model. `previous` is the status it has had: a
    /// condition that has not changed keeps its time, so that a status without news equals the one before.
    pub fn observed(model: &ModelStatus, previous: Option<&Self>, now: &Time) -> Self {
        let status = Self::of(model);
        let word = status.phase.word();
        let progress = match status.phase {
            Phase::Pending | Phase::Fetching | Phase::Starting => (true, word),
            Phase::Degraded => (true, "Replacing"),
            Phase::Ready | Phase::Idle => (false, "Complete"),
            Phase::Failed | Phase::Unknown => (false, word),
        };
        let degraded = match status.phase {
            Phase::Degraded => (true, "TooFewWorkers"),
            Phase::Failed => (true, word),
            _ => (false, "AsExpected"),
        };
        let ready = (status.phase == Phase::Ready, word);
        status.with_conditions([(READY, ready), (PROGRESSING, progress), (DEGRADED, degraded)], previous, now)
    }

    /// The status of a resource that asks for nothing that could be done; `model` is how its model fares, where it records one.
    pub fn refused(
        error: &InvalidModel,
        generation: i64,
        model: Option<&ModelStatus>,
        previous: Option<&Self>,
        now: &Time,
    ) -> Self {
        let fares = model.map_or_else(Self::of_none, Self::of);
        Self { phase: Phase::Failed, ..fares }.with_error(error, generation, false, previous, now)
    }

    /// The same of one that goes on to record what it asked for before, of which `model` is how that fares: it is ready where
    /// it serves as it was asked to then, and yet not as it is now.
    pub fn outdated(
        error: &InvalidModel,
        generation: i64,
        model: &ModelStatus,
        previous: Option<&Self>,
        now: &Time,
    ) -> Self {
        let fares = Self::of(model);
        let is_ready = fares.phase == Phase::Ready;
        let phase = if is_ready { Phase::Degraded } else { fares.phase };
        Self { phase, ..fares }.with_error(error, generation, is_ready, previous, now)
    }

    fn with_error(
        self,
        error: &InvalidModel,
        generation: i64,
        is_ready: bool,
        previous: Option<&Self>,
        now: &Time,
    ) -> Self {
        let status = Self { reason: Some(brief(&error.to_string())), observed_generation: generation, ..self };
        let is_coming = matches!(status.phase, Phase::Pending | Phase::Fetching | Phase::Starting);
        let conditions = [(READY, is_ready), (PROGRESSING, is_coming), (DEGRADED, true)];
        status.with_conditions(conditions.map(|(kind, holds)| (kind, (holds, error.reason()))), previous, now)
    }

    /// Whether it speaks of a model as its resource asks for it, and not of what is wrong with the resource.
    pub(crate) fn is_of_a_phase(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == READY && condition.reason == self.phase.word())
    }

    /// How a model fares, without conditions.
    fn of(model: &ModelStatus) -> Self {
        Self {
            phase: Phase::from(model.phase),
            reason: model.reason.as_deref().map(brief),
            desired_replicas: Some(model.spec.replicas.min(i32::MAX.unsigned_abs())),
            replicas: saturated(model.workers.len()),
            ready: saturated(model.ready()),
            canary: model.trial().map(CanaryStatus::from),
            observed_generation: i64::try_from(model.generation).unwrap_or(i64::MAX),
            memory: model.memory.map(|memory| memory.min(i64::MAX.unsigned_abs())),
            facts: model.facts.as_deref().map(Facts::from),
            workers: model.workers.iter().take(MAX_WORKERS).map(|worker| WorkerStatus::of(worker)).collect(),
            conditions: Vec::new(),
        }
    }

    /// How no model fares: what is left of its workers is being stopped.
    fn of_none() -> Self {
        Self {
            phase: Phase::Failed,
            reason: None,
            desired_replicas: None,
            replicas: 0,
            ready: 0,
            canary: None,
            observed_generation: 0,
            memory: None,
            facts: None,
            workers: Vec::new(),
            conditions: Vec::new(),
        }
    }

    /// The message of the condition Ready: how the model fares, in one line.
    pub fn message(&self) -> &str {
        self.conditions.iter().find(|condition| condition.kind == READY).map_or("", |ready| ready.message.as_str())
    }

    /// The same with these conditions, each with whether it holds and why.
    fn with_conditions(mut self, told: [(&str, (bool, &str)); 3], previous: Option<&Self>, now: &Time) -> Self {
        let message = match &self.reason {
            Some(reason) => reason.clone(),
            None if self.phase == Phase::Idle => "it is asked for with no replicas".to_owned(),
            None => format!("{} of {} workers serve", self.ready, self.replicas),
        };
        self.conditions = told
            .map(|(kind, (holds, reason))| {
                let status = if holds { "True" } else { "False" };
                let before = previous.and_then(|previous| {
                    previous.conditions.iter().find(|before| before.kind == kind && before.status == status)
                });
                Condition {
                    kind: kind.to_owned(),
                    status: status.to_owned(),
                    observed_generation: self.observed_generation,
                    last_transition_time: before.map_or(now, |before| &before.last_transition_time).clone(),
                    reason: reason.to_owned(),
                    message: message.clone(),
                }
            })
            .into();
        self
    }
}

impl Phase {
    /// The word that stands in the resource.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Fetching => "Fetching",
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::Degraded => "Degraded",
            Self::Failed => "Failed",
            Self::Idle => "Idle",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl From<ModelPhase> for Phase {
    fn from(phase: ModelPhase) -> Self {
        match phase {
            ModelPhase::Pending => Self::Pending,
            ModelPhase::Fetching => Self::Fetching,
            ModelPhase::Starting => Self::Starting,
            ModelPhase::Ready => Self::Ready,
            ModelPhase::Degraded => Self::Degraded,
            ModelPhase::Failed => Self::Failed,
            ModelPhase::Idle => Self::Idle,
            _ => Self::Unknown,
        }
    }
}

impl Phase {
    /// The phase in core's words; `None` where it has none for it.
    pub(crate) fn in_core(self) -> Option<ModelPhase> {
        Some(match self {
            Self::Pending => ModelPhase::Pending,
            Self::Fetching => ModelPhase::Fetching,
            Self::Starting => ModelPhase::Starting,
            Self::Ready => ModelPhase::Ready,
            Self::Degraded => ModelPhase::Degraded,
            Self::Failed => ModelPhase::Failed,
            Self::Idle => ModelPhase::Idle,
            Self::Unknown => return None,
        })
    }
}

fn saturated(count: usize) -> u32 {
    i32::try_from(count).unwrap_or(i32::MAX).unsigned_abs()
}

fn brief(reason: &str) -> String {
    reason.chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::model::{Canary, EngineSettings};
    use clowder_core::worker::{Worker, WorkerState};
    use clowder_core::{ModelSpec, Secret};
    use k8s_openapi::jiff::Timestamp;
    use std::sync::Arc;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).unwrap())
    }

    /// A model of two workers, the first of which serves.
    fn model(phase: ModelPhase, reason: Option<&str>) -> ModelStatus {
        let spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
        let worker = |id: &str| Worker::new(id.parse().unwrap(), "m".parse().unwrap(), "a".into());
        let (mut serving, waiting) = (worker("m-0-0"), worker("m-0-1"));
        (serving.state, serving.endpoint) = (WorkerState::Ready, Some("http://127.0.0.1:9".into()));
        ModelStatus {
            spec: Arc::new(spec),
            generation: 7,
            phase,
            reason: reason.map(str::to_owned),
            facts: None,
            memory: None,
            workers: vec![Arc::new(serving), Arc::new(waiting)],
            moving: false,
        }
    }

    #[test]
    fn a_status_counts_workers_and_says_why() {
        let status = Status::observed(&model(ModelPhase::Degraded, Some("no room")), None, &at(1));
        let text = serde_json::to_value(&status).unwrap();
        let condition = |kind: &str, status: &str, reason: &str| {
            serde_json::json!({
                "type": kind, "status": status, "reason": reason, "message": "no room", "observedGeneration": 7,
                "lastTransitionTime": "1970-01-01T00:00:01Z",
            })
        };
        let expected = serde_json::json!({
            "phase": "Degraded", "reason": "no room", "desiredReplicas": 1, "replicas": 2, "ready": 1, "observedGeneration": 7,
            "workers": [
                { "name": "m-0-0", "node": "a", "state": "ready" },
                { "name": "m-0-1", "node": "a", "state": "pending" },
            ],
            "conditions": [
                condition("Ready", "False", "Degraded"),
                condition("Progressing", "True", "Replacing"),
                condition("Degraded", "True", "TooFewWorkers"),
            ],
        });
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_value::<Status>(expected).unwrap(), status);
    }

    #[test]
    fn a_trial_is_counted_apart() {
        let mut model = model(ModelPhase::Degraded, Some("on trial: no room"));
        assert_eq!(Status::observed(&model, None, &at(1)).canary, None);
        let spec = Arc::make_mut(&mut model.spec);
        spec.rollout.canary = Some(Canary { weight: 10, engine: EngineSettings::default() });
        spec.engine.slots = Some(2);
        let revision = spec.on_trial().unwrap().revision();
        let canary = |ready| Some(CanaryStatus { revision: revision.to_string(), replicas: 1, ready });
        assert_eq!(Status::observed(&model, None, &at(1)).canary, canary(0));
        Arc::make_mut(&mut model.workers[0]).revision = revision;
        let status = Status::observed(&model, None, &at(1));
        assert_eq!((status.ready, status.canary.clone()), (1, canary(1)));
        let text = serde_json::to_value(&status).unwrap();
        assert_eq!(serde_json::from_value::<Status>(text).unwrap(), status);
    }

    #[test]
    fn a_status_without_news_equals_the_one_before() {
        let first = Status::observed(&model(ModelPhase::Ready, None), None, &at(1));
        assert_eq!(first.message(), "1 of 2 workers serve");
        assert_eq!(Status::observed(&model(ModelPhase::Ready, None), Some(&first), &at(2)), first);
        let later = Status::observed(&model(ModelPhase::Failed, None), Some(&first), &at(3));
        assert_eq!(later.conditions[0].last_transition_time, at(3));
        let still = Status::observed(&model(ModelPhase::Starting, None), Some(&later), &at(4));
        assert_eq!(still.conditions[0].last_transition_time, at(3), "it was not ready before either");
    }

    #[test]
    fn a_resource_that_is_wrong_says_so_and_counts_its_workers() {
        let model_resource = crate::Model::new("m", crate::model::Spec::new("no URL"));
        let error = model_resource.desired(|_| None::<Secret>).unwrap_err();
        let before = Status::observed(&model(ModelPhase::Ready, None), None, &at(1));
        assert!(before.is_of_a_phase());
        let conditions = |status: &Status| {
            assert_eq!((&status.reason, status.observed_generation), (&Some(error.to_string()), 8));
            assert!(status.conditions.iter().all(|condition| condition.reason == "InvalidSource"));
            assert!(!status.is_of_a_phase());
            status.conditions.iter().map(|condition| condition.status == "True").collect::<Vec<_>>()
        };
        let outdated =
            |phase: ModelPhase| Status::outdated(&error, 8, &model(phase, Some("a reason")), Some(&before), &at(2));
        let serving = outdated(ModelPhase::Ready);
        assert_eq!((serving.phase, serving.ready, serving.replicas), (Phase::Degraded, 1, 2));
        assert_eq!(conditions(&serving), [true, false, true]);
        assert_eq!((serving.message(), &serving.workers), (error.to_string().as_str(), &before.workers));
        assert_eq!(conditions(&outdated(ModelPhase::Degraded)), [false, false, true]);
        let starting = outdated(ModelPhase::Starting);
        assert_eq!((starting.phase, conditions(&starting)), (Phase::Starting, vec![false, true, true]));
        assert_eq!(outdated(ModelPhase::Idle).phase, Phase::Idle, "it can be woken");

        let refused = |model: Option<&ModelStatus>| Status::refused(&error, 8, model, Some(&before), &at(2));
        let mut fewer = model(ModelPhase::Starting, None);
        fewer.workers.remove(0);
        let fewer = refused(Some(&fewer));
        assert_eq!((fewer.phase, fewer.ready, fewer.replicas), (Phase::Failed, 0, 1), "those of now");
        let gone = refused(None);
        assert_eq!((gone.phase, gone.ready, gone.replicas, gone.workers.len()), (Phase::Failed, 0, 0, 0));
        assert_eq!(conditions(&gone), [false, false, true]);
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let status = Status::observed(&model(ModelPhase::Failed, Some(&"ä".repeat(5000))), None, &at(1));
        assert_eq!(status.reason.unwrap().chars().count(), MAX_REASON);
    }

    #[test]
    fn a_phase_of_a_newer_writer_does_not_spoil_the_resource() {
        assert_eq!(serde_json::from_str::<Phase>("\"Asleep\"").unwrap(), Phase::Unknown);
    }

    #[test]
    fn phases_of_core_come_back_as_they_went() {
        use ModelPhase::{Degraded, Failed, Fetching, Idle, Pending, Ready, Starting};
        for phase in [Pending, Fetching, Starting, Ready, Degraded, Failed, Idle] {
            assert_eq!(Phase::from(phase).in_core(), Some(phase));
        }
    }
}
