//! Clients that are cut off at a point of their run.

use crate::support::{PROJECT, blank, create, cut, delete, disk, instance, names, rack, stop};
use clowder_oxide_simulator::{CrashPoint, Options};
use oxide::{Client, ClientDisksExt, types};
use std::collections::BTreeSet;

type Failure = oxide::Error<types::Error>;

/// A run of four changes and some looks.
async fn run(client: &Client) -> Result<(), Failure> {
    create(client, instance("tom")).await?;
    client.disk_create().project(PROJECT).body(disk("d", 1, blank())).send().await?;
    client.disk_view().project(PROJECT).disk("d").send().await?;
    stop(client, "tom").await?;
    delete(client, "tom").await
}

#[tokio::test]
async fn every_point_of_a_run_is_reached_and_no_call_gets_past_it() {
    let mut ends = BTreeSet::new();
    for calls in 0..5 {
        for point in [CrashPoint::after_calls(calls), CrashPoint::after_calls(calls).without_answer()] {
            let (rack, client) = rack(Options::instant()).await;
            rack.stop_after(point);
            cut(run(&client).await);
            rack.stopped().await;
            assert!(rack.is_stopped());
            assert_eq!(rack.calls().len() as u64, calls, "{point:?}");
            cut(client.disk_list().project(PROJECT).send().await);
            rack.revive();
            let state = rack.state();
            ends.insert((names(&client).await, state.disks.len()));
        }
    }
    let tom = vec!["tom".to_owned()];
    // A run of five calls that loses its last answer has done all.
    assert_eq!(ends, BTreeSet::from([(vec![], 0), (tom.clone(), 1), (tom, 2)]));
}

#[tokio::test]
async fn looks_are_not_counted_among_changes() {
    let (rack, client) = rack(Options::instant()).await;
    rack.stop_after(CrashPoint::after_changes(1));
    assert!(names(&client).await.is_empty());
    create(&client, instance("tom")).await.unwrap();
    cut(stop(&client, "tom").await);
    rack.revive();
    stop(&client, "tom").await.unwrap();
    assert_eq!(rack.mutating_calls().len(), 2);
}
