//! What the gateway knows: one immutable snapshot, made anew whenever something changes, read without a lock.

use crate::config::Limits;
use crate::endpoint::{Endpoint, WorkerKey};
use crate::policy::RoutingPolicy;
use crate::trial::Trial;
use arc_swap::ArcSwap;
use clowder_core::desired::DesiredModels;
use clowder_core::status::{ModelStatus, ModelStatuses};
use clowder_core::{Backend, DesiredStore, Inventory, ModelName, WorkerId};
use futures::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, Semaphore, watch};
use tokio::time::timeout;

/// How long a change waits to be seen in the snapshot before its caller is answered all the same.
const SETTLE: Duration = Duration::from_secs(2);

/// Requests of one model that wait for a worker: in order of arrival, the first of them watching.
pub(crate) struct Lane {
    /// Whoever holds it is first in line.
    pub(crate) turn: Mutex<()>,
    /// Told when a worker has room again, or the snapshot changed.
    pub(crate) changed: Arc<Notify>,
    /// Bounds the line.
    pub(crate) places: Semaphore,
}

/// A desired model's way to its workers.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) model: ModelName,
    pub(crate) lane: Arc<Lane>,
    /// Processes that take requests, those on trial among them.
    pub(crate) serving: Vec<Arc<Endpoint>>,
    /// Which of them are on trial, where any shall be.
    pub(crate) trial: Option<Trial>,
}

/// All that was observed, at one moment.
#[derive(Default)]
pub(crate) struct Snapshot {
    pub(crate) inventory: Arc<Inventory>,
    pub(crate) desired: Arc<DesiredModels>,
    pub(crate) statuses: Arc<ModelStatuses>,
    /// By the models' own names.
    pub(crate) routes: HashMap<String, Route>,
    /// Further names of models, those of their adapters among them, and whose they are.
    pub(crate) aliases: HashMap<String, ModelName>,
    /// Of workers that listen, serving or draining.
    pub(crate) endpoints: BTreeMap<WorkerId, Arc<Endpoint>>,
}

impl Snapshot {
    pub(crate) fn status(&self, name: &ModelName) -> Option<&Arc<ModelStatus>> {
        self.statuses.get(name)
    }

    /// The model that is meant by a name, its own or a further one.
    pub(crate) fn model(&self, name: &str) -> Option<&ModelName> {
        self.routes.get(name).map(|route| &route.model).or_else(|| self.aliases.get(name))
    }

    /// Whether a name is that of an adapter of this model.
    pub(crate) fn is_adapter(&self, name: &str, model: &ModelName) -> bool {
        let record = self.desired.get(model);
        record.is_some_and(|record| record.spec.adapters.iter().any(|adapter| adapter.name.as_str() == name))
    }

    /// The desired models' names for a person, shortened where there are many.
    pub(crate) fn names(&self) -> String {
        const SHOWN: usize = 20;
        let mut names: Vec<&str> = self.desired.keys().take(SHOWN).map(ModelName::as_str).collect();
        if self.desired.len() > SHOWN {
            names.push("…");
        }
        match names.as_slice() {
            [] => "none is deployed".to_owned(),
            [name] => format!("there is {name}"),
            names => format!("there are {}", names.join(", ")),
        }
    }
}

/// Keeps the current [`Snapshot`] and tells of new ones.
pub(crate) struct Directory {
    current: ArcSwap<Snapshot>,
    /// Counts snapshots; 0 until the first whole one.
    version: watch::Sender<u64>,
    limits: Limits,
    policy: Arc<dyn RoutingPolicy>,
}

impl Directory {
    pub(crate) fn new(limits: Limits, policy: Arc<dyn RoutingPolicy>) -> Self {
        Self { current: ArcSwap::default(), version: watch::Sender::new(0), limits, policy }
    }

    pub(crate) fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Changes with each snapshot.
    pub(crate) fn versions(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn is_primed(&self) -> bool {
        *self.version.borrow() > 0
    }

    /// Waits for the first snapshot.
    pub(crate) async fn primed(&self, at_most: Duration) {
        if !self.is_primed() {
            let _ = timeout(at_most, self.versions().wait_for(|version| *version > 0)).await;
        }
    }

    /// Waits until the snapshot shows a model's record as it was left by a change (`None`: removed), so that whoever made
    /// it finds it by their next request.
    pub(crate) async fn settled(&self, name: &ModelName, generation: Option<u64>) {
        let shown = |snapshot: &Snapshot| match (snapshot.desired.get(name), generation) {
            (Some(record), Some(generation)) => record.generation >= generation,
            (record, None) => record.is_none(),
            (None, Some(_)) => false,
        };
        let mut versions = self.versions();
        let _ = timeout(SETTLE, versions.wait_for(|_| shown(&self.current.load()))).await;
    }

    /// Follows the control plane for as long as it is polled.
    pub(crate) async fn follow(
        self: Arc<Self>,
        backend: Arc<dyn Backend>,
        store: Arc<dyn DesiredStore>,
        mut statuses: watch::Receiver<Arc<ModelStatuses>>,
    ) {
        let mut inventories = backend.watch();
        let mut records = store.watch();
        let (Some(mut inventory), Some(mut desired)) = (inventories.next().await, records.next().await) else {
            tracing::error!("the control plane ended before it began; the gateway has no models");
            return;
        };
        let mut keys = 0;
        loop {
            let seen = statuses.borrow_and_update().clone();
            self.publish(inventory.clone(), desired.clone(), seen, &mut keys);
            tokio::select! {
                Some(next) = inventories.next() => inventory = next,
                Some(next) = records.next() => desired = next,
                Ok(()) = statuses.changed() => {}
                else => break,
            }
        }
        tracing::warn!("the control plane ended; the gateway goes on with what it knows");
    }

    fn publish(
        &self,
        inventory: Arc<Inventory>,
        desired: Arc<DesiredModels>,
        statuses: Arc<ModelStatuses>,
        keys: &mut u64,
    ) {
        let before = self.load();
        let endpoints: BTreeMap<WorkerId, Arc<Endpoint>> = inventory
            .workers
            .values()
            .filter_map(|worker| {
                let known = before.endpoints.get(&worker.id).filter(|endpoint| endpoint.is_of(worker));
                let endpoint = known.cloned().or_else(|| {
                    *keys += 1;
                    Endpoint::new(WorkerKey(*keys), worker, self.limits.in_flight_per_slot).map(Arc::new)
                })?;
                Some((worker.id.clone(), endpoint))
            })
            .collect();
        let mut routes: HashMap<String, Route> = desired
            .iter()
            .map(|(name, record)| {
                let known = before.routes.get(name.as_str());
                let lane = known.map_or_else(|| Arc::new(self.lane()), |route| route.lane.clone());
                let trial = Trial::of(&record.spec, known.and_then(|route| route.trial.as_ref()));
                (name.as_str().to_owned(), Route { model: name.clone(), lane, serving: Vec::new(), trial })
            })
            .collect();
        let aliases = further_names(&desired);
        for worker in inventory.workers.values().filter(|worker| worker.serving().is_some()) {
            if let (Some(route), Some(endpoint)) = (routes.get_mut(worker.model.as_str()), endpoints.get(&worker.id)) {
                route.serving.push(endpoint.clone());
                if let Some(trial) = route.trial.as_mut().filter(|trial| trial.revision == worker.revision) {
                    trial.workers.insert(endpoint.key);
                }
            }
        }
        let gone: Vec<WorkerKey> = before
            .endpoints
            .iter()
            .filter(|(id, endpoint)| endpoints.get(id).is_none_or(|now| now.key != endpoint.key))
            .map(|(_, endpoint)| endpoint.key)
            .collect();
        self.current.store(Arc::new(Snapshot { inventory, desired, statuses, routes, aliases, endpoints }));
        self.version.send_modify(|version| *version += 1);
        for key in gone {
            self.policy.forget(key);
        }
        for route in before.routes.values() {
            route.lane.changed.notify_one();
        }
    }

    fn lane(&self) -> Lane {
        let places = self.limits.queued_per_model.clamp(1, Semaphore::MAX_PERMITS);
        Lane { turn: Mutex::new(()), changed: Arc::default(), places: Semaphore::new(places) }
    }
}

/// A model's own name goes before a further one, and of two models that have the same further name, the first in order.
/// Stores refuse both; a file that somebody wrote by hand may have them.
fn further_names(desired: &DesiredModels) -> HashMap<String, ModelName> {
    let mut names = HashMap::new();
    for (model, record) in desired {
        for alias in record.spec.names().skip(1).filter(|alias| !desired.contains_key(*alias)) {
            names.entry(alias.to_string()).or_insert_with(|| model.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::ModelSpec;
    use clowder_core::desired::DesiredModel;

    #[test]
    fn a_models_own_name_goes_before_a_further_one() {
        let desired: DesiredModels = [("a", vec!["x", "b"]), ("b", vec!["x", "y"])]
            .map(|(name, aliases)| {
                let mut spec = ModelSpec::new(name.parse().unwrap(), "builtin:kitten".parse().unwrap());
                spec.aliases = aliases.into_iter().map(|alias| alias.parse().unwrap()).collect();
                (spec.name.clone(), DesiredModel { spec: Arc::new(spec), generation: 1 })
            })
            .into();
        let names = further_names(&desired);
        let expected = [("x", "a"), ("y", "b")].map(|(alias, model)| (alias.to_owned(), model.parse().unwrap()));
        assert_eq!(names, HashMap::from(expected));
    }
}
