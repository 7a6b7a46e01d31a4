use super::*;
use crate::convert::InvalidModel;
use clowder_core::ModelSpec;
use clowder_core::status::{ModelPhase, ModelStatus};
use clowder_core::store::FetchProgress;
use clowder_core::worker::{Worker, WorkerState};

fn resource(status: Option<Status>, problem: Option<InvalidModel>) -> Resource {
    let model = Some("m".parse().unwrap());
    Resource { uid: "uid-1".into(), generation: 2, model, problem: problem.map(Arc::new), status }
}

fn view(resource: Resource) -> View {
    View { desired: Arc::default(), resources: [("m".to_owned(), resource)].into() }
}

fn statuses(phase: ModelPhase, serving: bool) -> ModelStatuses {
    let spec = ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap());
    let mut worker = Worker::new("m-0-0".parse().unwrap(), "m".parse().unwrap(), "a".into());
    if serving {
        (worker.state, worker.endpoint) = (WorkerState::Ready, Some("http://10.0.0.1:8000".into()));
    }
    let name = spec.name.clone();
    let (spec, workers) = (Arc::new(spec), vec![Arc::new(worker)]);
    let status =
        ModelStatus { spec, generation: 2, phase, reason: None, facts: None, memory: None, workers, moving: false };
    [(name, Arc::new(status))].into()
}

fn no_secret() -> InvalidModel {
    InvalidModel::NoSecret { secret: "hub".into(), key: "token".into() }
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_where_it_changed_and_no_more_often_than_once_a_second() {
    let (mut written, now) = (BTreeMap::new(), Instant::now());
    let starting = statuses(ModelPhase::Starting, false);
    let (writes, next) = plan(&view(resource(None, None)), &starting, &mut written, now);
    assert_eq!((writes.len(), next), (1, None));
    assert!(writes[0].is_new_phase);
    let status = writes[0].status.clone();
    let known = written.get_mut("m").unwrap();
    (known.status, known.confirmed, known.not_before) = (Some(status.clone()), false, now + PACE);

    let (writes, next) = plan(&view(resource(None, None)), &starting, &mut written, now);
    assert_eq!((writes.len(), next), (0, None), "the watch has not told of it, and it is the same");
    let ready = statuses(ModelPhase::Ready, true);
    let (writes, next) = plan(&view(resource(Some(status.clone()), None)), &ready, &mut written, now);
    assert_eq!((writes.len(), next), (0, Some(now + PACE)), "too early");
    let (writes, _) = plan(&view(resource(Some(status), None)), &ready, &mut written, now + PACE);
    assert_eq!(writes.len(), 1);
    assert!(writes[0].is_new_phase);
}

#[tokio::test(start_paused = true)]
async fn progress_alone_is_written_less_often() {
    let (mut written, now) = (BTreeMap::new(), Instant::now());
    let fetching = |bytes| {
        let mut statuses = statuses(ModelPhase::Fetching, false);
        for status in statuses.values_mut() {
            let progress = FetchProgress { bytes, total: Some(100), rate: 1 };
            let status = Arc::make_mut(status);
            Arc::make_mut(&mut status.workers[0]).state = WorkerState::Fetching(progress);
        }
        statuses
    };
    let (writes, _) = plan(&view(resource(None, None)), &fetching(1), &mut written, now);
    let status = writes[0].status.clone();
    let known = written.get_mut("m").unwrap();
    (known.status, known.not_before) = (Some(status.clone()), now + PACE);
    let seen = view(resource(Some(status), None));
    let (writes, next) = plan(&seen, &fetching(2), &mut written, now + PACE);
    assert_eq!((writes.len(), next), (0, Some(now + PROGRESS_PACE)));
    assert_eq!(plan(&seen, &fetching(3), &mut written, now + PROGRESS_PACE).0.len(), 1);
    let ready = statuses(ModelPhase::Ready, true);
    assert_eq!(plan(&seen, &ready, &mut written, now + PACE).0.len(), 1, "other news waits no longer than before");
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_workers_is_told_with_the_status() {
    let (mut written, now) = (BTreeMap::new(), Instant::now());
    let (writes, _) = plan(&view(resource(None, None)), &statuses(ModelPhase::Starting, false), &mut written, now);
    let told: Vec<&str> = writes[0].happened.iter().map(|happened| happened.reason).collect();
    assert_eq!(told, ["WorkerStarted"]);
    let seen = view(resource(Some(writes[0].status.clone()), None));
    let (writes, _) = plan(&seen, &statuses(ModelPhase::Ready, true), &mut BTreeMap::new(), now);
    assert!(writes[0].happened.is_empty(), "a controller that has just begun tells nothing twice");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_wrote_is_written_over() {
    let (mut written, now) = (BTreeMap::new(), Instant::now());
    let ready = statuses(ModelPhase::Ready, true);
    let ours = wanted(&resource(None, None), &ready, None, &this_second()).unwrap();
    let (writes, _) = plan(&view(resource(Some(ours.clone()), None)), &ready, &mut written, now);
    assert!(writes.is_empty(), "a restart writes nothing that is there");
    let theirs = Status { ready: 7, ..ours };
    let (writes, _) = plan(&view(resource(Some(theirs), None)), &ready, &mut written, now);
    assert_eq!((writes.len(), writes[0].is_new_phase), (1, false));
}

#[tokio::test(start_paused = true)]
async fn another_resource_of_the_same_name_begins_anew() {
    let (mut written, now) = (BTreeMap::new(), Instant::now());
    let ready = statuses(ModelPhase::Ready, true);
    plan(&view(resource(None, None)), &ready, &mut written, now);
    written.get_mut("m").unwrap().not_before = now + RETRY.most;
    let other = Resource { uid: "uid-2".into(), ..resource(None, None) };
    assert_eq!(plan(&view(other), &ready, &mut written, now).0.len(), 1);
    plan(&View::default(), &ready, &mut written, now);
    assert!(written.is_empty());
}

#[test]
fn a_resource_that_is_wrong_is_told_with_the_workers_of_what_it_said_before() {
    let now = this_second();
    let wrong = || Some(InvalidModel::Resources("6Gb".into()));
    let (ready, starting) = (statuses(ModelPhase::Ready, true), statuses(ModelPhase::Starting, false));
    let serving = wanted(&resource(None, wrong()), &ready, None, &now).unwrap();
    assert_eq!((serving.phase, serving.ready, serving.replicas), (Phase::Degraded, 1, 1));
    assert!(serving.message().contains("\"6Gb\" is no amount of memory"), "{}", serving.message());
    let down = wanted(&resource(None, wrong()), &starting, Some(&serving), &now).unwrap();
    assert_eq!((down.phase, down.ready, down.replicas), (Phase::Starting, 0, 1), "the one before is no longer true");
    let nothing = Resource { model: None, ..resource(None, wrong()) };
    let none = wanted(&nothing, &ModelStatuses::new(), Some(&serving), &now).unwrap();
    assert_eq!((none.phase, none.ready, none.replicas), (Phase::Failed, 0, 0));
}

#[test]
fn a_problem_is_told_unless_the_model_serves_all_the_same() {
    let now = this_second();
    let told = |problem: Option<InvalidModel>, statuses: &ModelStatuses| {
        wanted(&resource(None, problem), statuses, None, &now).map(|status| status.phase)
    };
    let (starting, ready) = (statuses(ModelPhase::Starting, false), statuses(ModelPhase::Ready, true));
    assert_eq!(told(None, &ModelStatuses::new()), None, "nothing is known of it yet");
    assert_eq!(told(None, &starting), Some(Phase::Starting));
    assert_eq!(told(Some(no_secret()), &starting), Some(Phase::Failed));
    assert_eq!(told(Some(no_secret()), &ready), Some(Phase::Ready));
    assert_eq!(told(Some(no_secret()), &ModelStatuses::new()), Some(Phase::Failed));
    let before = wanted(&resource(None, None), &ready, None, &now).unwrap();
    let known = wanted(&resource(None, Some(no_secret())), &ModelStatuses::new(), Some(&before), &now);
    assert_eq!(known, None, "who has just begun takes back nothing");
}
