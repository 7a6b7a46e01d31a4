//! How a desired model fares, for its user.

use crate::gguf::GgufFacts;
use crate::model::{ModelName, ModelSpec, Revision};
use crate::worker::Worker;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a model stands as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelPhase {
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
}

/// How a desired model fares.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// What was asked for.
    pub spec: Arc<ModelSpec>,
    /// Which generation of it this status speaks of.
    pub generation: u64,
    /// Where it stands.
    pub phase: ModelPhase,
    /// Why it does not serve as asked, for a person.
    pub reason: Option<String>,
    /// What its file's header says, once read.
    pub facts: Option<Arc<GgufFacts>>,
    /// Bytes of memory that one worker of it takes, once known.
    pub memory: Option<u64>,
    /// Its workers.
    pub workers: Vec<Arc<Worker>>,
    /// Whether some of them are on cordoned nodes and what replaces them is on its way.
    pub moving: bool,
}

impl ModelStatus {
    /// Workers that serve.
    pub fn ready(&self) -> usize {
        self.workers.iter().filter(|worker| worker.serving().is_some()).count()
    }

    /// How its settings on trial fare, where there are any.
    pub fn trial(&self) -> Option<TrialStatus> {
        TrialStatus::of(&self.spec, self.spec.replicas, &self.workers)
    }
}

/// How settings on trial fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialStatus {
    /// The revision of workers that run under them.
    pub revision: Revision,
    /// How many workers shall.
    pub replicas: u32,
    /// How many of them serve.
    pub ready: u32,
}

impl TrialStatus {
    /// That of a model of so many replicas, by its workers; `None` where it has nothing on trial.
    pub fn of<'w>(spec: &ModelSpec, replicas: u32, workers: impl IntoIterator<Item = &'w Arc<Worker>>) -> Option<Self> {
        let revision = spec.on_trial()?.revision();
        let serves = |worker: &&Arc<Worker>| worker.revision == revision && worker.serving().is_some();
        let ready = u32::try_from(workers.into_iter().filter(serves).count()).unwrap_or(u32::MAX);
        Some(Self { revision, replicas: spec.rollout.shares(replicas).trial, ready })
    }
}

/// The status of all desired models, by name.
pub type ModelStatuses = BTreeMap<ModelName, Arc<ModelStatus>>;
