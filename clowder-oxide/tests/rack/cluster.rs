//! A cluster grows from nothing, shrinks, and stays as it is.

use crate::support::{Bench, options, spec};
use clowder_core::Infra;
use clowder_core::infra::PoolName;
use clowder_core::testing::infra::conformance;
use clowder_oxide::{ExternalIp, Tag};
use tokio::sync::Mutex;

#[tokio::test]
async fn a_whole_cluster_and_nothing_more_the_second_time() {
    let mut bench = Bench::new(options(), spec(3)).await;
    bench.size(2).await;
    let status = {
        let mut controller = bench.controller();
        bench.settle(&mut controller).await
    };
    assert_eq!((status.servers.ready, status.pools["workers"].ready), (3, 2));
    assert!(status.api_address.is_some());
    insta::assert_snapshot!(bench.shape().join("\n"));

    let state = bench.rack.state();
    let first = state.instance("clowder-control-plane-0").unwrap();
    let first_data = first.user_data.text();
    assert!(first_data.contains(&status.api_address.unwrap().to_string()), "its certificate has the address");
    assert!(state.instances.iter().all(|one| one.ssh_public_keys.is_empty() && Tag::of(&one.view.description).is_ok()));
    let sleds: std::collections::BTreeSet<_> =
        state.instances.iter().filter(|one| one.view.name.starts_with("clowder-control")).map(|one| one.sled).collect();
    assert_eq!(sleds.len(), 3, "servers are on different sleds");

    // The same program again, that knows nothing.
    bench.rack.forget_calls();
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    assert!(controller.foresee().await.unwrap().steps.is_empty());
    assert_eq!(bench.rack.mutating_calls(), []);
    assert!(bench.rack.calls().len() > 5, "it has looked");
}

#[tokio::test]
async fn what_would_be_done_is_told_and_not_done() {
    let bench = Bench::new(options(), spec(1)).await;
    bench.size(2).await;
    let foreseen = bench.controller().foresee().await.unwrap();
    assert_eq!(bench.rack.mutating_calls(), []);
    insta::assert_snapshot!(foreseen.to_string());
}

#[tokio::test]
async fn one_to_five_to_two_workers() {
    let mut bench = Bench::new(options(), spec(1)).await;
    let mut controller = bench.controller();
    let infra = controller.infra();
    for workers in [1, 5, 2] {
        infra.scale(&"workers".into(), workers).await.unwrap();
        bench.settle(&mut controller).await;
        let names: Vec<String> = bench.rack.state().instances.iter().map(|one| one.view.name.to_string()).collect();
        assert_eq!(names.len(), 1 + workers as usize, "{names:?}");
    }
    let disks = bench.rack.state().disks;
    assert_eq!(disks.len(), 1 + 2 * 2, "disks go with their machines");
}

#[tokio::test]
async fn more_machines_than_a_page_has() {
    let mut bench = Bench::new(options(), spec(1)).await;
    bench.size(60).await;
    let mut controller = bench.controller();
    let status = bench.settle(&mut controller).await;
    assert_eq!(status.pools["workers"].ready, 60);
    // 121 disks and more are two pages of 100.
    let pages = bench.rack.calls().iter().filter(|call| call.operation_id() == "disk_list").count();
    let looks = bench.rack.calls().iter().filter(|call| call.operation_id() == "instance_list").count();
    assert!(pages > looks, "{pages} pages of disks in {looks} looks");
    bench.rack.forget_calls();
    bench.settle(&mut controller).await;
    assert_eq!(bench.rack.mutating_calls(), []);
}

#[tokio::test]
async fn it_keeps_to_the_word_of_infra() {
    let mut spec = spec(1);
    spec.pools.get_mut(&PoolName("workers".to_owned())).unwrap().machines.max = 4;
    let mut bench = Bench::new(options(), spec).await;
    let mut controller = bench.controller();
    let infra = controller.infra();
    assert!(infra.observe().await.is_err(), "it has not been looked at");
    bench.settle(&mut controller).await;
    let world = Mutex::new((bench, controller));
    conformance(&infra, &"workers".into(), || async {
        let (bench, controller) = &mut *world.lock().await;
        bench.settle(controller).await;
    })
    .await;
}

#[tokio::test]
async fn without_external_addresses_there_is_no_floating_one_and_no_rule() {
    let mut spec = spec(1);
    spec.servers.external_ip = ExternalIp::None;
    let mut bench = Bench::new(options(), spec).await;
    let mut controller = bench.controller();
    let status = bench.settle(&mut controller).await;
    assert_eq!(status.api_address, None);
    let state = bench.rack.state();
    assert!(state.floating_ips.is_empty());
    assert!(state.instances.iter().all(|one| one.ephemeral_ip.is_none()));
    assert!(!bench.shape().join("\n").contains("clowder-home-api"));
}

#[tokio::test]
async fn the_address_of_the_api_server_follows_a_server_that_answers() {
    let mut bench = Bench::new(options(), spec(3)).await;
    let mut controller = bench.controller();
    bench.settle(&mut controller).await;
    let leads_to = |bench: &Bench| bench.shape().into_iter().find(|line| line.starts_with("address")).unwrap();
    assert_eq!(leads_to(&bench), "address clowder-home-api to clowder-control-plane-0");
    assert!(bench.rack.break_instance("clowder-control-plane-0"));
    bench.rounds(&mut controller, 4).await;
    assert_eq!(leads_to(&bench), "address clowder-home-api to clowder-control-plane-1");
    let status = bench.settle(&mut controller).await;
    assert_eq!(status.servers.ready, 3);
}
