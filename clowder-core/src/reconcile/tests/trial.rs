//! Settings on trial, in the loop.

use super::*;
use crate::model::{Canary, Draft, EngineSettings};

fn canary() -> Canary {
    Canary { weight: 10, engine: EngineSettings { slots: Some(2), ..EngineSettings::default() } }
}

#[tokio::test]
async fn a_trial_that_fails_is_told_and_the_others_serve_on() {
    let mut cluster = Cluster::start(one_node().starting_in(WorkerState::Starting));
    cluster.want_with("m", "builtin:m", |spec| spec.rollout.canary = Some(canary())).await;
    let status = cluster.until("m", "one of each", |status| status.workers.len() == 2).await;
    let trial = status.trial().unwrap();
    assert_eq!((status.phase, trial.replicas, trial.ready), (ModelPhase::Starting, 1, 0));
    let of = |on_trial| status.workers.iter().find(|w| (w.revision == trial.revision) == on_trial).unwrap().id.clone();
    let (own, on_trial) = (of(false), of(true));
    let failed = WorkerState::Failed { reason: "no such layer".into() };
    cluster.backend.change(&on_trial, |worker| worker.state = failed.clone());
    let seen = |status: &ModelStatus| status.workers.iter().any(|worker| worker.state == failed);
    assert_eq!(cluster.until("m", "it is seen", seen).await.phase, ModelPhase::Starting, "it is no failure");
    cluster.backend.change(&own, |worker| worker.state = WorkerState::Ready);
    let told = cluster.until("m", "it serves", |status| status.ready() == 1).await;
    assert_eq!((told.phase, told.reason.as_deref()), (ModelPhase::Degraded, Some("on trial: no such layer")));
    cluster.backend.change(&on_trial, |worker| worker.state = WorkerState::Ready);
    let both = cluster.until("m", "both serve", |status| status.phase == ModelPhase::Ready).await;
    assert_eq!((both.ready(), both.trial().unwrap().ready), (2, 1));
    cluster.want_with("m", "builtin:m", |spec| spec.engine = canary().engine).await;
    let promoted = cluster.until("m", "the model's own", |status| status.workers.len() == 1).await;
    assert_eq!((&promoted.workers[0].id, promoted.phase, promoted.trial()), (&on_trial, ModelPhase::Ready, None));
}

#[tokio::test]
async fn a_trial_without_room_is_told_as_such() {
    let mut cluster = Cluster::start(one_node());
    let tries = |spec: &mut ModelSpec| {
        spec.memory = Some(3 << 30);
        spec.rollout.canary = Some(canary());
    };
    cluster.want_with("m", "builtin:m", tries).await;
    let status = cluster.until("m", "it serves", |status| status.phase == ModelPhase::Degraded).await;
    let reason = "on trial: a worker needs 3.0 GiB of memory, no node has more than 1.0 GiB left";
    assert_eq!((status.ready(), status.reason.as_deref()), (1, Some(reason)));
}

#[tokio::test]
async fn a_trial_whose_draft_is_damaged_is_told_as_such() {
    let mut cluster = Cluster::start(one_node());
    let draft = Some(Draft::new("builtin:damaged".parse().unwrap()));
    let tries = |spec: &mut ModelSpec| {
        spec.rollout.canary = Some(Canary { engine: EngineSettings { draft, ..canary().engine }, ..canary() });
    };
    cluster.want_with("m", "builtin:m", tries).await;
    let told = |status: &ModelStatus| {
        status.reason.as_ref().is_some_and(|reason| reason.starts_with("on trial: builtin:damaged"))
    };
    let status = cluster.until("m", "it is told", |status| status.ready() == 1 && told(status)).await;
    assert_eq!((status.phase, status.workers.len()), (ModelPhase::Degraded, 1));
}

#[test]
fn a_worker_on_trial_that_failed_is_told_of_other_credentials() {
    let mut spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
    spec.credentials = Some(Credentials::bearer("new"));
    spec.rollout.canary = Some(canary());
    let trial = spec.on_trial().unwrap();
    let mut worker = Worker::new(WorkerId::nth(&spec.name, trial.revision(), 0), spec.name.clone(), "a".into());
    (worker.revision, worker.state) = (trial.revision(), WorkerState::Failed { reason: "denied".into() });
    let inventory = Inventory { workers: [(worker.id.clone(), Arc::new(worker))].into(), ..Inventory::default() };
    let record = crate::desired::DesiredModel { spec: Arc::new(spec), generation: 2 };
    let desired: DesiredModels = [(trial.name.clone(), record)].into();
    let corrections = Memory::default().corrections(&desired, &inventory, &Plan::default());
    assert!(matches!(&corrections[..], [Action::Start(start)] if *start.spec == trial), "{corrections:?}");
}
