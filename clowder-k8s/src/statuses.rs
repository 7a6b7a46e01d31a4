//! How models fare, read back from their resources by those who do not run the reconcile loop.

use crate::desired::{KubernetesDesired, View};
use crate::status::Status;
use clowder_core::node::Inventory;
use clowder_core::status::{ModelPhase, ModelStatus, ModelStatuses};
use clowder_core::{Backend, ModelName, ModelSpec, Worker, send_if_new};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// How the desired models fare, from now on: phase, reason and facts as their resources say, workers as the backend sees
/// them. To be called within a tokio runtime.
///
/// It goes on until `desired` or the backend ends, or nobody listens any more.
pub fn statuses(desired: &KubernetesDesired, backend: &dyn Backend) -> watch::Receiver<Arc<ModelStatuses>> {
    let (mut view, mut inventories) = (desired.view(), backend.watch());
    let (publish, statuses) = watch::channel(Arc::default());
    tokio::spawn(async move {
        let mut inventory = Arc::new(Inventory::default());
        loop {
            let seen = view.borrow_and_update().clone();
            if let Some(seen) = seen {
                send_if_new(&publish, Arc::new(told(&seen, &inventory)));
            }
            tokio::select! {
                changed = view.changed() => if changed.is_err() { return },
                next = inventories.next() => match next {
                    Some(next) => inventory = next,
                    None => return,
                },
                () = publish.closed() => return,
            }
        }
    });
    statuses
}

fn told(view: &View, inventory: &Inventory) -> ModelStatuses {
    let mut workers: BTreeMap<&ModelName, Vec<Arc<Worker>>> = BTreeMap::new();
    for worker in inventory.workers.values() {
        workers.entry(&worker.model).or_default().push(Arc::clone(worker));
    }
    let recorded = view.resources.values().filter_map(|resource| {
        let name = resource.model.as_ref()?;
        let record = view.desired.get(name)?;
        let status = resource.status.as_ref();
        let told = ModelStatus {
            spec: scaled(&record.spec, status),
            generation: status.map_or(0, |status| u64::try_from(status.observed_generation).unwrap_or(0)),
            phase: status.and_then(|status| status.phase.in_core()).unwrap_or(ModelPhase::Pending),
            reason: status.and_then(|status| status.reason.clone()),
            facts: status.and_then(|status| Some(Arc::new(status.facts.as_ref()?.into()))),
            memory: status.and_then(|status| status.memory),
            workers: workers.remove(name).unwrap_or_default(),
            // Known to who plans alone, and asked by nobody else.
            moving: false,
        };
        Some((name.clone(), Arc::new(told)))
    });
    recorded.collect()
}

/// A record with the replicas of this moment: under autoscaling only the status knows them.
fn scaled(spec: &Arc<ModelSpec>, status: Option<&Status>) -> Arc<ModelSpec> {
    let replicas = status.and_then(|status| status.desired_replicas);
    match replicas.filter(|replicas| spec.autoscaling.is_some() && *replicas != spec.replicas) {
        Some(replicas) => Arc::new(ModelSpec { replicas, ..ModelSpec::clone(spec) }),
        None => Arc::clone(spec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Resource;
    use clowder_core::autoscale::Autoscaling;
    use clowder_core::desired::DesiredModel;
    use clowder_core::gguf::GgufFacts;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    fn status(phase: ModelPhase) -> ModelStatus {
        let worker = Worker::new("m-0-0".parse().unwrap(), "m".parse().unwrap(), "a".into());
        ModelStatus {
            spec: Arc::new(ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap())),
            generation: 3,
            phase,
            reason: Some("no room".to_owned()),
            facts: Some(Arc::new(GgufFacts { architecture: "llama".into(), ..GgufFacts::default() })),
            memory: Some(7),
            workers: vec![Arc::new(worker)],
            moving: false,
        }
    }

    #[test]
    fn what_was_written_is_read_back() {
        let written = status(ModelPhase::Degraded);
        let now = Time(Timestamp::from_second(1).unwrap());
        let resource = Resource {
            uid: "u".into(),
            generation: 3,
            model: Some("m".parse().unwrap()),
            problem: None,
            status: Some(Status::observed(&written, None, &now)),
        };
        let record = DesiredModel { spec: Arc::clone(&written.spec), generation: 3 };
        let mut view = View {
            desired: Arc::new([(written.spec.name.clone(), record)].into()),
            resources: [("m".to_owned(), resource)].into(),
        };
        let inventory = Inventory {
            workers: written.workers.iter().map(|worker| (worker.id.clone(), Arc::clone(worker))).collect(),
            ..Inventory::default()
        };
        assert_eq!(*told(&view, &inventory)[&written.spec.name], written);

        let scaled = Autoscaling { min: 0, max: 5, ..Autoscaling::default() };
        let spec = Arc::new(ModelSpec { autoscaling: Some(scaled), ..ModelSpec::clone(&written.spec) });
        let planned =
            ModelStatus { spec: Arc::new(ModelSpec { replicas: 3, ..ModelSpec::clone(&spec) }), ..written.clone() };
        let mut scaling = view.clone();
        scaling.desired = Arc::new([(spec.name.clone(), DesiredModel { spec, generation: 3 })].into());
        scaling.resources.get_mut("m").unwrap().status = Some(Status::observed(&planned, None, &now));
        assert_eq!(*told(&scaling, &inventory)[&written.spec.name], planned, "the number is not in the record");

        view.resources.get_mut("m").unwrap().status = None;
        let fresh = &told(&view, &inventory)[&written.spec.name];
        assert_eq!((fresh.generation, fresh.phase, fresh.workers.len()), (0, ModelPhase::Pending, 1));
    }
}
