//! The desired models with the replicas that their demand is worth.

use crate::autoscale::{Autoscaler, Autoscaling};
use crate::demand::Demands;
use crate::desired::{DesiredModel, DesiredModels};
use crate::model::{ModelName, ModelSpec};
use crate::node::Inventory;
use crate::worker::WorkerState;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use tokio::time::Instant;

/// What the loop remembers of the models under autoscaling.
#[derive(Default)]
pub(super) struct Scaling {
    scaler: Autoscaler,
    bounds: BTreeMap<ModelName, Autoscaling>,
    /// The replicas of those whose demand has not been known yet. Why is it not what runs at each moment? While workers are
    /// replaced there are more of them, and when a node is lost there are fewer.
    found: BTreeMap<ModelName, u32>,
    /// How many of a model's replicas are kept for a while that its demand does not need.
    spare: BTreeMap<ModelName, u32>,
    /// Those that were asked for and have had no worker that serves since.
    waking: BTreeSet<ModelName>,
}

impl Scaling {
    /// The desired models, each with its replicas of this moment. Without a demand those under autoscaling keep as many
    /// workers as they were found with, so that a loop that has just begun changes nothing.
    pub(super) fn scaled(
        &mut self,
        desired: &DesiredModels,
        inventory: &Inventory,
        demand: Option<&Demands>,
        now: Instant,
    ) -> DesiredModels {
        self.bounds =
            desired.iter().filter_map(|(name, model)| Some((name.clone(), model.spec.autoscaling?))).collect();
        self.scaler.retain(|name| self.bounds.contains_key(name));
        self.waking.retain(|name| self.bounds.contains_key(name));
        self.found.retain(|name, _| demand.is_none() && self.bounds.contains_key(name));
        self.spare.clear();
        let ready = inventory.workers.values().filter(|worker| worker.state == WorkerState::Ready);
        let ready: HashSet<&ModelName> = ready.map(|worker| &worker.model).collect();
        let mut live: HashMap<&ModelName, u32> = HashMap::new();
        for worker in inventory.workers.values().filter(|worker| worker.state.is_live()) {
            *live.entry(&worker.model).or_default() += 1;
        }
        let mut scaled = desired.clone();
        for (name, bounds) in &self.bounds {
            let Some(model) = scaled.get_mut(name) else { continue };
            let running = live.get(name).copied().unwrap_or(0);
            let replicas = match demand {
                Some(demand) => {
                    let requests = demand.get(name).copied().unwrap_or(0);
                    let needed = bounds.replicas(requests);
                    let kept = self.scaler.replicas(name, bounds, requests, running, now);
                    if ready.contains(name) || kept == bounds.replicas(0) {
                        self.waking.remove(name);
                    } else if needed > running {
                        self.waking.insert(name.clone());
                    }
                    if self.waking.contains(name) {
                        // It may take longer to start than anybody waits, and whoever comes again finds it started.
                        kept
                    } else {
                        // What is kept for a while is what is there: one that made room for another model is not missed.
                        let kept = kept.min(running.max(needed));
                        self.spare.insert(name.clone(), kept - needed);
                        kept
                    }
                }
                None => {
                    let running = if running > 0 { running } else { model.spec.replicas };
                    let found = *self.found.entry(name.clone()).or_insert(running);
                    found.clamp(bounds.min.min(bounds.max), bounds.max)
                }
            };
            if replicas != model.spec.replicas {
                let spec = Arc::new(ModelSpec { replicas, ..ModelSpec::clone(&model.spec) });
                *model = DesiredModel { spec, generation: model.generation };
            }
        }
        scaled
    }

    /// How many of a model's replicas its demand does not need.
    pub(super) fn spare(&self, model: &ModelName) -> u32 {
        self.spare.get(model).copied().unwrap_or(0)
    }

    /// When a model may go down.
    pub(super) fn next(&self) -> Option<Instant> {
        self.scaler.next(|name| self.bounds.get(name).copied())
    }
}

/// Whether another demand is worth other replicas of a model: most requests come and go without.
pub(super) fn differs(desired: Option<&DesiredModels>, before: Option<&Demands>, now: &Demands) -> bool {
    let Some(before) = before else { return true };
    desired.into_iter().flatten().any(|(name, model)| {
        let worth = |demand: &Demands, bounds: &Autoscaling| bounds.replicas(demand.get(name).copied().unwrap_or(0));
        model.spec.autoscaling.is_some_and(|bounds| worth(before, &bounds) != worth(now, &bounds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Worker;
    use std::time::Duration;

    #[test]
    fn what_was_asked_for_is_kept_until_it_serves_or_its_delay_is_over() {
        let mut spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
        spec.autoscaling = Some(Autoscaling { min: 0, max: 3, target: 1, scale_down_delay: 10 });
        let name = spec.name.clone();
        let desired = DesiredModels::from([(name.clone(), DesiredModel { spec: Arc::new(spec), generation: 1 })]);
        let start = Instant::now();
        let replicas = |scaling: &mut Scaling, inventory: &Inventory, requests, seconds| {
            let demand = Demands::from([(name.clone(), requests)]);
            let now = start + Duration::from_secs(seconds);
            let replicas = scaling.scaled(&desired, inventory, Some(&demand), now)[&name].spec.replicas;
            (replicas, scaling.spare(&name))
        };
        let nothing = Inventory::default();
        let mut scaling = Scaling::default();
        assert_eq!(replicas(&mut scaling, &nothing, 2, 0), (2, 0));
        assert_eq!(
            replicas(&mut scaling, &nothing, 0, 1),
            (2, 0),
            "wanted, and not to linger: nobody takes its memory"
        );
        assert_eq!(replicas(&mut scaling, &nothing, 0, 11), (0, 0), "its delay is over");

        assert_eq!(replicas(&mut scaling, &nothing, 2, 20), (2, 0));
        let mut worker = Worker::new("m-0-0".parse().unwrap(), name.clone(), "a".into());
        worker.state = WorkerState::Ready;
        let mut one = Inventory::default();
        one.workers.insert(worker.id.clone(), Arc::new(worker));
        assert_eq!(replicas(&mut scaling, &one, 0, 21), (1, 1), "one serves: it is kept, and no other is started");
        assert_eq!(replicas(&mut scaling, &nothing, 0, 22), (0, 0), "what made room is not missed");
    }
}
