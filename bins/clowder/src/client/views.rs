//! What the operational API answers, as far as the command reads it.

use clowder_core::model::EngineSettings;
use clowder_core::node::Capacity;
use clowder_core::status::ModelPhase;
use clowder_core::store::FetchProgress;
use clowder_core::{Worker, WorkerState};
use serde::Deserialize;

/// A model that shall be served, and how it fares.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ModelView {
    /// Its name.
    pub(crate) name: String,
    /// Where its bytes come from.
    pub(crate) source: String,
    /// Workers that shall serve it.
    pub(crate) replicas: u32,
    /// Workers that do.
    pub(crate) ready: u32,
    /// How its settings on trial fare.
    #[serde(default)]
    pub(crate) canary: Option<CanaryView>,
    /// Where it stands.
    pub(crate) phase: ModelPhase,
    /// Why it does not serve as asked.
    #[serde(default)]
    pub(crate) reason: Option<String>,
    /// Counts the changes of its record.
    #[serde(default)]
    pub(crate) generation: u64,
    /// Bytes of memory of one worker.
    #[serde(default)]
    pub(crate) memory: Option<u64>,
    /// How its workers run it.
    #[serde(default)]
    pub(crate) engine: EngineSettings,
    /// Its workers.
    #[serde(default)]
    pub(crate) workers: Vec<WorkerView>,
}

impl ModelView {
    /// The furthest fetch among its workers that fetch.
    pub(crate) fn fetch(&self) -> Option<FetchProgress> {
        let fetches = self.workers.iter().filter_map(|view| match view.worker.state {
            WorkerState::Fetching(progress) => Some(progress),
            _ => None,
        });
        fetches.max_by_key(|progress| progress.bytes)
    }

    /// Its phase in one word.
    pub(crate) fn phase_word(&self) -> &'static str {
        match self.phase {
            ModelPhase::Pending => "pending",
            ModelPhase::Fetching => "fetching",
            ModelPhase::Starting => "starting",
            ModelPhase::Ready => "ready",
            ModelPhase::Degraded => "degraded",
            ModelPhase::Failed => "failed",
            ModelPhase::Idle => "idle",
            _ => "unknown",
        }
    }
}

/// Settings on trial.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CanaryView {
    /// Requests of a hundred that go to workers under them.
    pub(crate) weight: u8,
    /// Workers that shall run under them.
    pub(crate) replicas: u32,
    /// Workers that do, and serve.
    pub(crate) ready: u32,
}

/// A worker, and how busy it is.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct WorkerView {
    /// As observed.
    #[serde(flatten)]
    pub(crate) worker: Worker,
    /// Requests it has.
    #[serde(default)]
    pub(crate) in_flight: u64,
}

/// A node, as far as a table shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct NodeView {
    /// Its name.
    pub(crate) name: String,
    /// What it can give.
    pub(crate) capacity: Capacity,
    /// Bytes of memory promised to nobody.
    pub(crate) free_memory: u64,
    /// Whether new workers may go there.
    pub(crate) schedulable: bool,
    /// Models that are whole on it.
    pub(crate) cached: Vec<String>,
    /// The workers on it.
    pub(crate) workers: Vec<String>,
}

/// The models of an event.
pub(super) fn models(text: &str) -> Result<Vec<ModelView>, serde_json::Error> {
    serde_json::from_str(text)
}
