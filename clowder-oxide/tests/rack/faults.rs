//! What goes wrong on a rack, and what comes of it.

use crate::support::{Bench, options, spec};
use clowder_oxide_simulator::{Fault, Injection, Operation, Options, Quotas};
use std::collections::BTreeSet;
use std::time::Duration;

/// A cluster with two workers, of which one goes and one comes while something goes wrong.
async fn through(injection: Injection) -> Bench {
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.size(2).await;
    bench.rack.faults().inject(injection);
    let mut controller = bench.controller();
    for size in [2, 1, 2] {
        bench.size(size).await;
        bench.settle(&mut controller).await;
    }
    let state = bench.rack.state();
    assert_eq!(state.instances.len(), 3);
    assert_eq!(state.disks.len(), 5, "nothing is left over: {:#?}", bench.shape());
    bench
}

macro_rules! converges {
    ($($name:ident: $fault:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            let bench = through($fault).await;
            assert_eq!(bench.rack.faults().left(), 0, "it has happened");
        }
    )*};
}

converges! {
    a_stop_that_is_refused: Fault::FailedDependency.times(4);
    a_machine_that_is_stuck_starting: Fault::StuckStarting.times(2);
    a_machine_that_is_on_no_sled: Fault::NoSled.times(2);
    a_machine_that_is_left_stopped: Fault::LeftStopped.times(3);
    a_start_that_fails: Fault::StartFails.times(2);
    a_restart_that_races_a_stop: Fault::RestartRacesStop.times(1);
    disks_that_stay_attached: Fault::DiskStaysAttached.times(1);
    changes_that_fail: Fault::InternalError.on_changes().times(10);
    calls_that_are_not_answered_now: Fault::Unavailable.times(20);
    calls_that_are_too_many: Fault::RateLimited { retry_after: Duration::ZERO }.times(20);
    answers_that_are_lost: Fault::LostAnswer.on_changes().times(12);
    connections_that_are_cut: Fault::Cut.on_changes().times(20);
}

#[tokio::test]
async fn every_fifth_call_fails_for_good() {
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.size(2).await;
    bench.rack.faults().inject(Fault::Unavailable.every(5));
    bench.rack.faults().inject(Fault::LostAnswer.on_changes().every(3));
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    assert_eq!(bench.rack.state().instances.len(), 3);
}

#[tokio::test]
async fn a_first_server_that_never_joins_is_told_and_kept() {
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.rack.faults().inject(Fault::NoSled.every(1));
    let mut controller = bench.controller();
    let mut told = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for _ in 0..90 {
        told.extend(bench.rounds(&mut controller, 1).await.problems);
        ids.extend(bench.rack.instance("clowder-control-plane-0").map(|server| server.view.id));
    }
    assert_eq!(ids.len(), 1, "its disks may be all there is");
    let said = "clowder-control-plane-0 runs, and its node has not been ready for 5 min, and is not replaced";
    assert!(told.iter().any(|line| line.starts_with(said) && line.ends_with("see its serial console")), "{told:#?}");
    // It comes up once its sled does.
    bench.rack.faults().clear();
    bench.settle(&mut controller).await;
}

#[tokio::test]
async fn a_machine_that_does_not_stop_is_told() {
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.size(1).await;
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    bench.rack.faults().inject(Fault::FailedDependency.on(Operation::InstanceStop).every(1));
    bench.size(0).await;
    let status = bench.rounds(&mut controller, 100).await;
    let problems = status.problems.join("\n");
    assert!(problems.contains("stop clowder-worker-0: tried "), "{problems}");
    assert!(problems.contains("Failed Dependency"), "{problems}");
    bench.rack.faults().clear();
    bench.settle(&mut controller).await;
    assert_eq!(bench.rack.state().instances.len(), 1);
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_told_in_one_line_and_nothing_is_torn_down() {
    let quotas = Quotas { cpus: 10, ..Quotas::default() };
    let mut bench = Bench::new(Options { quotas, ..options() }, spec(1)).await;
    bench.size(3).await;
    let mut controller = bench.controller();
    let status = bench.rounds(&mut controller, 100).await;
    assert_eq!(status.pools["workers"].ready, 1);
    let problems = status.problems.join("\n");
    assert!(problems.contains("vCPU Limit Exceeded") && problems.contains("larger quota"), "{problems}");
    let deleted = bench.rack.calls().iter().any(|call| call.operation == Some(Operation::InstanceDelete));
    assert!(!deleted, "nothing is torn down for want of room");
    // Whoever asks for no more than there is room for gets it.
    bench.size(1).await;
    let status = bench.settle(&mut controller).await;
    assert_eq!(status.pools["workers"].ready, 1);
}

#[tokio::test]
async fn somebody_elses_things_are_never_touched() {
    let mut bench = Bench::new(Options { projects: vec!["clowder".to_owned()], ..options() }, spec(1)).await;
    let other = {
        // The names that the cluster would take, made by another one.
        let mut spec = spec(1);
        spec.id = "other".parse().unwrap();
        std::mem::replace(&mut bench.spec, spec)
    };
    bench.size(1).await;
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    let before: Vec<_> = bench.rack.state().instances.iter().map(|one| (one.view.id, one.view.run_state)).collect();
    bench.nodes = std::sync::Arc::default();
    bench.spec = other;
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    for size in [2, 0] {
        bench.size(size).await;
        bench.settle(&mut controller).await;
    }
    let state = bench.rack.state();
    for (id, run_state) in before {
        let left = state.instances.iter().find(|one| one.view.id == id).unwrap();
        assert_eq!(left.view.run_state, run_state);
    }
    let heard = bench.heard().join("\n");
    assert!(heard.contains("machine clowder-worker-0 is not the cluster's: it is left alone"), "{heard}");
}
