//! What the operational API shows of models, workers and nodes.

use crate::directory::Snapshot;
use clowder_core::autoscale::Autoscaling;
use clowder_core::gguf::GgufFacts;
use clowder_core::model::{Adapter, CacheRules, EngineSettings, PlacementRules, Revision, Rollout};
use clowder_core::node::Capacity;
use clowder_core::source::Digest;
use clowder_core::status::{ModelPhase, TrialStatus};
use clowder_core::store::CachedModel;
use clowder_core::{ModelName, ModelSpec, ModelUrl, Node, NodeName, Worker, WorkerId};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A list as the new endpoints answer it.
#[derive(Serialize)]
pub(super) struct Listed<T> {
    pub(super) data: Vec<T>,
}

fn shared<T: Serialize, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    T::serialize(value, serializer)
}

/// A worker as observed, and what the gateway has given it.
#[derive(Serialize)]
pub(super) struct WorkerView {
    #[serde(flatten, serialize_with = "shared")]
    worker: Arc<Worker>,
    in_flight: u32,
}

impl WorkerView {
    pub(super) fn new(snapshot: &Snapshot, worker: &Arc<Worker>) -> Self {
        let in_flight = snapshot.endpoints.get(&worker.id).map_or(0, |endpoint| endpoint.in_flight());
        Self { worker: worker.clone(), in_flight }
    }
}

/// A desired model and how it fares. Its credentials stay where they are.
#[derive(Serialize)]
pub(super) struct ModelView {
    name: ModelName,
    aliases: BTreeSet<ModelName>,
    source: ModelUrl,
    digest: Option<Digest>,
    /// Those asked for, or those that the demand is worth.
    replicas: u32,
    autoscaling: Option<Autoscaling>,
    ready: usize,
    /// How the settings on trial fare, which `rollout` has.
    canary: Option<CanaryView>,
    phase: ModelPhase,
    reason: Option<String>,
    generation: u64,
    /// Bytes that one worker is promised: those asked for, or what the model's header comes to.
    memory: Option<u64>,
    engine: EngineSettings,
    adapters: Vec<Adapter>,
    placement: PlacementRules,
    priority: i32,
    rollout: Rollout,
    cache: CacheRules,
    facts: Option<GgufFacts>,
    workers: Vec<WorkerView>,
}

/// How settings on trial fare.
#[derive(Serialize)]
struct CanaryView {
    /// Requests of a hundred that go to its workers.
    weight: u8,
    /// The revision of its workers.
    revision: Revision,
    /// Workers that there shall be.
    replicas: u32,
    ready: u32,
}

impl CanaryView {
    /// `None` where nothing is on trial.
    fn new(spec: &ModelSpec, replicas: u32, workers: &[&Arc<Worker>]) -> Option<Self> {
        let weight = spec.rollout.canary.as_ref()?.weight;
        let TrialStatus { revision, replicas, ready } = TrialStatus::of(spec, replicas, workers.iter().copied())?;
        Some(Self { weight, revision, replicas, ready })
    }
}

impl ModelView {
    /// `None` where it is not desired.
    pub(super) fn new(snapshot: &Snapshot, name: &ModelName) -> Option<Self> {
        let desired = snapshot.desired.get(name)?;
        let spec = &desired.spec;
        let status = snapshot.status(name);
        let workers: Vec<&Arc<Worker>> =
            snapshot.inventory.workers.values().filter(|worker| worker.model == *name).collect();
        let ready = workers.iter().filter(|worker| worker.serving().is_some()).count();
        let (replicas, phase, reason) = match status {
            Some(status) if status.generation >= desired.generation => {
                (status.spec.replicas, status.phase, status.reason.clone())
            }
            // Nobody shall take the state of an older record for that of this one.
            _ => {
                let phase = if ready > 0 { ModelPhase::Degraded } else { ModelPhase::Pending };
                let replicas = match (spec.autoscaling, status) {
                    // The record's own number says nothing: those of the moment before stand until others are planned.
                    (Some(Autoscaling { min, max, .. }), Some(status)) => status.spec.replicas.clamp(min.min(max), max),
                    (Some(bounds), None) => bounds.min,
                    (None, _) => spec.replicas,
                };
                (replicas, phase, Some(format!("generation {} is being planned", desired.generation)))
            }
        };
        Some(Self {
            name: name.clone(),
            aliases: spec.aliases.clone(),
            source: spec.source.clone(),
            digest: spec.digest,
            replicas,
            autoscaling: spec.autoscaling,
            ready,
            canary: CanaryView::new(spec, replicas, &workers),
            phase,
            reason,
            generation: desired.generation,
            memory: spec.memory.or_else(|| status.and_then(|status| status.memory)),
            engine: spec.engine.clone(),
            adapters: spec.adapters.clone(),
            placement: spec.placement.clone(),
            priority: spec.priority,
            rollout: spec.rollout.clone(),
            cache: spec.cache,
            facts: status.and_then(|status| status.facts.as_deref().cloned()),
            workers: workers.into_iter().map(|worker| WorkerView::new(snapshot, worker)).collect(),
        })
    }

    pub(super) fn all(snapshot: &Snapshot) -> Vec<Self> {
        snapshot.desired.keys().filter_map(|name| Self::new(snapshot, name)).collect()
    }
}

/// A node as observed.
#[derive(Serialize)]
pub(super) struct NodeView {
    name: NodeName,
    labels: BTreeMap<String, String>,
    capacity: Capacity,
    free_memory: u64,
    schedulable: bool,
    /// Models that are whole on it, as the backend sees it.
    cached: BTreeSet<ModelUrl>,
    /// What its storage says it has, whole or begun; `None` where the storage does not answer.
    cache: Option<Vec<CachedModel>>,
    /// Workers on it.
    workers: Vec<WorkerId>,
}

impl NodeView {
    pub(super) fn new(snapshot: &Snapshot, node: &Node, cache: Option<Vec<CachedModel>>) -> Self {
        let here = snapshot.inventory.workers.values().filter(|worker| worker.node == node.name);
        Self {
            name: node.name.clone(),
            labels: node.labels.clone(),
            capacity: node.capacity.clone(),
            free_memory: snapshot.inventory.free_memory(node),
            schedulable: node.is_schedulable(),
            cached: node.cached.clone(),
            cache,
            workers: here.map(|worker| worker.id.clone()).collect(),
        }
    }
}
