//! How a [`Model`](crate::Model) fares, as its resource tells it.

use crate::convert::InvalidModel;
use crate::details::count;
pub use crate::details::{Facts, FetchStatus, WorkerStatus};
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
    /// Workers there are, serving or not.
    #[schemars(range(min = 0, max = i32::MAX), extend("format" = "int32"))]
    pub replicas: u32,
    /// Workers that serve.
    #[schemars(range(min = 0, max = i32::MAX), extend("format" = "int32"))]
    pub ready: u32,
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
    /// Serves, with fewer workers than asked or with an older revision among them.
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
        let phase = Phase::from(model.phase);
        let status = Self {
            phase,
            reason: model.reason.as_deref().map(brief),
            replicas: saturated(model.workers.len()),
            ready: saturated(model.ready()),
            observed_generation: i64::try_from(model.generation).unwrap_or(i64::MAX),
            memory: model.memory.map(|memory| memory.min(i64::MAX.unsigned_abs())),
            facts: model.facts.as_deref().map(Facts::from),
            workers: model.workers.iter().take(MAX_WORKERS).map(|worker| WorkerStatus::of(worker)).collect(),
            conditions: Vec::new(),
        };
        status.with_conditions(phase.word(), previous, now)
    }

    /// The status of a resource that asks for nothing that could be done. Its workers are as they were before.
    pub fn refused(error: &InvalidModel, generation: i64, previous: Option<&Self>, now: &Time) -> Self {
        let status = Self {
            phase: Phase::Failed,
            reason: Some(brief(&error.to_string())),
            replicas: previous.map_or(0, |previous| previous.replicas),
            ready: previous.map_or(0, |previous| previous.ready),
            observed_generation: generation,
            memory: previous.and_then(|previous| previous.memory),
            facts: previous.and_then(|previous| previous.facts.clone()),
            workers: previous.map(|previous| previous.workers.clone()).unwrap_or_default(),
            conditions: Vec::new(),
        };
        status.with_conditions(error.reason(), previous, now)
    }

    /// The message of the condition Ready: how the model fares, in one line.
    pub fn message(&self) -> &str {
        self.conditions.iter().find(|condition| condition.kind == READY).map_or("", |ready| ready.message.as_str())
    }

    fn with_conditions(mut self, word: &str, previous: Option<&Self>, now: &Time) -> Self {
        let message = match &self.reason {
            Some(reason) => reason.clone(),
            None if self.phase == Phase::Idle => "it is asked for with no replicas".to_owned(),
            None => format!("{} of {} workers serve", self.ready, self.replicas),
        };
        let progress = match self.phase {
            Phase::Pending | Phase::Fetching | Phase::Starting => (true, word),
            Phase::Degraded => (true, "Replacing"),
            Phase::Ready | Phase::Idle => (false, "Complete"),
            Phase::Failed | Phase::Unknown => (false, word),
        };
        let degraded = match self.phase {
            Phase::Degraded => (true, "TooFewWorkers"),
            Phase::Failed => (true, word),
            _ => (false, "AsExpected"),
        };
        let told = [(READY, (self.phase == Phase::Ready, word)), (PROGRESSING, progress), (DEGRADED, degraded)];
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
            "phase": "Degraded", "reason": "no room", "replicas": 2, "ready": 1, "observedGeneration": 7,
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
    fn a_refused_resource_fails_and_keeps_its_workers() {
        let model_resource = crate::Model::new("m", crate::model::Spec::new("no URL"));
        let error = model_resource.desired(|_| None::<Secret>).unwrap_err();
        let before = Status::observed(&model(ModelPhase::Ready, None), None, &at(1));
        let status = Status::refused(&error, 8, Some(&before), &at(2));
        assert_eq!((status.phase, status.ready, status.observed_generation), (Phase::Failed, 1, 8));
        assert_eq!(status.reason, Some(error.to_string()));
        assert_eq!(
            (status.conditions[0].status.as_str(), status.conditions[0].reason.as_str()),
            ("False", "InvalidSource")
        );
        assert_eq!(status.workers, before.workers);
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
