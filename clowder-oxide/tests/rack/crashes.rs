//! A controller that dies after any call, and another that begins where it stopped.

use crate::support::{Bench, options, spec};
use clowder_oxide_simulator::CrashPoint;
use std::time::Duration;

/// A server breaks, and is replaced by another.
#[tokio::test]
async fn after_every_change_a_server_is_replaced_and_the_majority_kept() {
    for answered in [true, false] {
        for changes in 0.. {
            let mut bench = Bench::new(options(), spec(3)).await;
            let mut controller = bench.controller();
            bench.settle(&mut controller).await;
            bench.limits.join = Duration::from_secs(60);
            assert!(bench.rack.break_instance("clowder-control-plane-1"));
            let point = CrashPoint::after_changes(changes);
            bench.rack.stop_after(if answered { point } else { point.without_answer() });
            let mut controller = bench.controller();
            bench.settle_or_crash(&mut controller).await;
            let crashed = bench.rack.is_stopped();
            bench.rack.revive();
            let mut controller = bench.controller();
            let status = bench.settle(&mut controller).await;
            assert_eq!(status.servers.ready, 3, "after {changes} changes");
            let state = bench.rack.state();
            assert_eq!((state.instances.len(), state.disks.len()), (3, 3), "{:#?}", bench.shape());
            assert!(bench.shape().iter().any(|line| line.starts_with("address") && !line.ends_with("nothing")));
            if !crashed {
                assert!(changes > 4);
                break;
            }
        }
    }
}

/// Brings a cluster to these sizes, one after the other. Where the controller is cut off, another takes over that knows
/// nothing. Whether it was.
async fn run(bench: &mut Bench, workers: &[u32], point: Option<CrashPoint>) -> bool {
    if let Some(point) = point {
        bench.rack.stop_after(point);
    }
    let mut crashed = false;
    for size in workers {
        bench.size(*size).await;
        let mut controller = bench.controller();
        for _ in 0..400 {
            let settled = bench.round(&mut controller).await.is_ok_and(|round| round.settled);
            if bench.rack.is_stopped() {
                assert!(!crashed);
                crashed = true;
                bench.rack.revive();
                controller = bench.controller();
            } else if settled {
                break;
            }
        }
    }
    // A cut that was not reached by now is none.
    bench.rack.revive();
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    bench.rack.forget_calls();
    bench.rounds(&mut controller, 2).await;
    assert_eq!(bench.rack.mutating_calls(), [], "it is done");
    crashed
}

#[tokio::test]
async fn after_every_change_it_gets_to_the_same_with_nothing_left_over() {
    let sizes = [2, 1];
    let mut plain = Bench::new(options(), spec(1)).await;
    plain.size(2).await;
    assert!(!run(&mut plain, &sizes, None).await);
    let wanted = plain.shape();
    for answered in [true, false] {
        for changes in 0.. {
            let mut bench = Bench::new(options(), spec(1)).await;
            let point = CrashPoint::after_changes(changes);
            let point = if answered { point } else { point.without_answer() };
            let crashed = run(&mut bench, &sizes, Some(point)).await;
            assert_eq!(bench.shape(), wanted, "after {changes} changes, the last answered: {answered}");
            if !crashed {
                assert!(changes > 12, "the run has more changes than {changes}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn after_every_single_call_a_small_cluster_comes_up() {
    let mut plain = Bench::new(options(), spec(1)).await;
    assert!(!run(&mut plain, &[1], None).await);
    let wanted = plain.shape();
    for calls in 0.. {
        let mut bench = Bench::new(options(), spec(1)).await;
        let point = CrashPoint::after_calls(calls).without_answer();
        let crashed = run(&mut bench, &[1], Some(point)).await;
        assert_eq!(bench.shape(), wanted, "after {calls} calls");
        if !crashed {
            assert!(calls > 50);
            break;
        }
    }
}
