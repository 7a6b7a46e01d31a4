//! A cluster that is taken down, by somebody who may be cut off after any change.

use crate::support::{Bench, options, spec};
use clowder_oxide::{Cluster, Limits, tear_down};
use clowder_oxide_simulator::{CrashPoint, Options};
use std::time::Duration;

async fn take_down(bench: &Bench) -> Result<usize, clowder_oxide::TearDownError> {
    let limits = Limits { poll: Duration::from_millis(1), ..Limits::default() };
    let cluster = Cluster::new(bench.spec.clone()).unwrap();
    tear_down(&bench.client(bench.rack.token()), &cluster, &limits, |_| {}).await
}

#[tokio::test]
async fn after_every_change_it_goes_on_until_nothing_of_the_cluster_is_left() {
    for answered in [true, false] {
        for changes in 0.. {
            let quick = Options { silo_images: options().silo_images, ..Options::instant() };
            let mut bench = Bench::new(quick, spec(1)).await;
            bench.size(1).await;
            let mut controller = bench.controller();
            bench.settle(&mut controller).await;
            let point = CrashPoint::after_changes(changes);
            bench.rack.stop_after(if answered { point } else { point.without_answer() });
            let first = take_down(&bench).await;
            let crashed = bench.rack.is_stopped();
            bench.rack.revive();
            assert_eq!(first.is_err(), crashed, "{first:?} after {changes} changes");
            take_down(&bench).await.unwrap();
            let state = bench.rack.state();
            let rules = state.vpcs.iter().flat_map(|vpc| &vpc.firewall_rules);
            assert!(rules.into_iter().all(|rule| !rule.description.contains("clowder cluster=")));
            assert!(state.instances.is_empty() && state.disks.is_empty() && state.anti_affinity_groups.is_empty());
            assert_eq!(state.projects.len(), 1, "the project stays");
            assert_eq!(take_down(&bench).await.unwrap(), 0, "it is done");
            if !crashed {
                assert!(changes > 4);
                break;
            }
        }
    }
}
