//! The loop by itself: nobody calls its rounds.

use crate::support::{Bench, options, spec};
use clowder_core::{Infra, NodeName};
use clowder_oxide_simulator::{Options, Times};
use std::time::Duration;

#[tokio::test]
async fn it_brings_a_cluster_up_and_follows_what_is_asked_for() {
    let instant = Options { times: Times::instant(), tick: Duration::from_secs(1), ..options() };
    let mut bench = Bench::new(instant, spec(3)).await;
    bench.size(1).await;
    // Only what is asked for wakes it once all is as it should be.
    bench.limits.look = Duration::from_secs(1_000_000);
    bench.limits.poll = Duration::ZERO;
    let controller = bench.controller();
    let (infra, mut status) = (controller.infra(), controller.status());

    let (nodes, mut guests) = (bench.nodes.clone(), bench.rack.events());
    let machines = tokio::spawn(async move {
        while guests.changed().await.is_ok() {
            for guest in guests.borrow_and_update().iter().filter(|guest| guest.is_up) {
                nodes.join(NodeName(guest.name.clone()));
            }
        }
    });
    let running = tokio::spawn(controller.run());
    for workers in [1, 4] {
        infra.scale(&"workers".into(), workers).await.unwrap();
        let grown = status.wait_for(|status| status.settled && status.pools["workers"].ready == workers).await.unwrap();
        assert_eq!(grown.servers.ready, 3);
    }
    running.abort();
    machines.abort();
}
