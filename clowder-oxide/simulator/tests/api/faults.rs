//! Each thing that can go wrong, once.

use crate::support::{PROJECT, create, cut, delete, instance, names, rack, refused, start, state, stop};
use clowder_oxide_simulator::{Fault, Operation, Options, Simulator};
use oxide::types::{DiskState, InstanceAutoRestartPolicy, InstanceCreate, InstanceState};
use oxide::{Client, ClientDisksExt, ClientInstancesExt};
use reqwest::header::{AUTHORIZATION, HeaderMap};
use std::time::Duration;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(3600);

/// A rack on which this happens to the start of the instance `tom`, an hour later.
async fn an_hour_after(fault: Fault) -> (Simulator, Client) {
    let (rack, client) = rack(Options::default()).await;
    rack.faults().inject(fault);
    let never = Some(InstanceAutoRestartPolicy::Never);
    create(&client, InstanceCreate { auto_restart_policy: never, ..instance("tom") }).await.unwrap();
    assert_eq!(rack.faults().left(), 0);
    rack.clock().advance(LONG);
    (rack, client)
}

#[tokio::test]
async fn an_instance_stays_starting_until_it_is_stopped() {
    let (rack, client) = an_hour_after(Fault::StuckStarting).await;
    assert_eq!(state(&client, "tom").await, InstanceState::Starting);
    stop(&client, "tom").await.unwrap();
    rack.clock().advance(LONG);
    start(&client, "tom").await.unwrap();
    rack.clock().advance(LONG);
    assert_eq!(state(&client, "tom").await, InstanceState::Running, "only once");
}

#[tokio::test]
async fn an_instance_runs_on_no_sled() {
    let (rack, client) = an_hour_after(Fault::NoSled).await;
    assert_eq!(state(&client, "tom").await, InstanceState::Running);
    let guest = rack.events().borrow()[0].clone();
    assert_eq!((guest.is_up, guest.boots), (false, 0));
}

#[tokio::test]
async fn an_instance_is_left_stopped() {
    let (rack, client) = an_hour_after(Fault::LeftStopped).await;
    assert_eq!(state(&client, "tom").await, InstanceState::Stopped);
    rack.faults().inject(Fault::LeftStopped.on(Operation::InstanceStart));
    assert_eq!(start(&client, "tom").await.unwrap(), InstanceState::Starting);
    rack.clock().advance(LONG);
    assert_eq!(state(&client, "tom").await, InstanceState::Stopped);
}

#[tokio::test]
async fn an_instance_fails_to_start() {
    let (_rack, client) = an_hour_after(Fault::StartFails).await;
    assert_eq!(state(&client, "tom").await, InstanceState::Failed);
    delete(&client, "tom").await.unwrap();
}

#[tokio::test]
async fn a_stop_meets_a_failed_dependency() {
    let (rack, client) = rack(Options::instant()).await;
    create(&client, instance("tom")).await.unwrap();
    rack.faults().inject(Fault::FailedDependency.times(2));
    let (status, code, message) = refused(stop(&client, "tom").await);
    assert_eq!((status, code.as_str(), message.as_str()), (400, "InvalidRequest", "Failed Dependency"));
    let reboot = client.instance_reboot().project(PROJECT).instance("tom").send().await;
    assert_eq!(refused(reboot).2, "Failed Dependency");
    assert_eq!(state(&client, "tom").await, InstanceState::Running);
    assert_eq!(rack.faults().left(), 0);
    stop(&client, "tom").await.unwrap();
}

#[tokio::test]
async fn a_stop_never_ends() {
    let (rack, client) = rack(Options::instant()).await;
    create(&client, instance("tom")).await.unwrap();
    rack.faults().inject(Fault::StuckStopping);
    stop(&client, "tom").await.unwrap();
    rack.clock().advance(LONG);
    assert_eq!(state(&client, "tom").await, InstanceState::Stopping);
}

#[tokio::test]
async fn a_restart_races_a_stop_unless_the_policy_forbids_it() {
    let (rack, client) = rack(Options::instant()).await;
    rack.faults().inject(Fault::RestartRacesStop.times(2));
    create(&client, instance("tom")).await.unwrap();
    let never = Some(InstanceAutoRestartPolicy::Never);
    create(&client, InstanceCreate { auto_restart_policy: never, ..instance("kit") }).await.unwrap();
    for name in ["tom", "kit"] {
        stop(&client, name).await.unwrap();
        assert_eq!(state(&client, name).await, InstanceState::Failed);
    }
    rack.clock().advance(Duration::from_secs(60));
    assert_eq!(state(&client, "tom").await, InstanceState::Running);
    assert_eq!(state(&client, "kit").await, InstanceState::Failed);
}

#[tokio::test]
async fn a_disk_stays_attached_after_its_instance_is_gone() {
    let (rack, client) = rack(Options::instant()).await;
    create(&client, instance("tom")).await.unwrap();
    stop(&client, "tom").await.unwrap();
    rack.faults().inject(Fault::DiskStaysAttached);
    delete(&client, "tom").await.unwrap();
    assert_eq!(rack.faults().left(), 0);
    let delete_disk = || client.disk_delete().project(PROJECT).disk("root-tom").send();
    let disk = client.disk_view().project(PROJECT).disk("root-tom").send().await.unwrap();
    assert!(matches!(disk.state, DiskState::Attached(_)));
    assert_eq!(refused(delete_disk().await).2, "disk cannot be deleted in state \"attached\"");
    rack.clock().advance(Duration::from_secs(30));
    delete_disk().await.unwrap();
}

#[tokio::test]
async fn a_call_is_refused_for_now() {
    let (rack, client) = rack(Options::instant()).await;
    rack.faults().inject(Fault::Unavailable.on(Operation::InstanceCreate));
    rack.faults().inject(Fault::InternalError.on(Operation::InstanceCreate));
    rack.faults().inject(Fault::RateLimited { retry_after: Duration::from_secs(7) }.on(Operation::InstanceCreate));
    assert_eq!(refused(create(&client, instance("tom")).await).0, 503);
    let (status, code, message) = refused(create(&client, instance("tom")).await);
    assert_eq!((status, code.as_str(), message.as_str()), (500, "Internal", "Internal Server Error"));
    let Err(oxide::Error::ErrorResponse(limited)) =
        client.instance_create().project(PROJECT).body(instance("tom")).send().await
    else {
        panic!("too many requests");
    };
    assert_eq!(limited.status().as_u16(), 429);
    assert_eq!(limited.headers()["retry-after"], "7");
    assert!(rack.state().instances.is_empty());
    create(&client, instance("tom")).await.unwrap();
}

#[tokio::test]
async fn a_call_is_cut_before_or_after_it_is_executed() {
    let (rack, client) = rack(Options::instant()).await;
    rack.faults().inject(Fault::Cut.on_changes());
    cut(create(&client, instance("tom")).await);
    assert_eq!(names(&client).await.len(), 0);
    rack.faults().inject(Fault::LostAnswer.on_changes());
    cut(create(&client, instance("tom")).await);
    assert_eq!(names(&client).await, ["tom"]);
    let statuses: Vec<Option<u16>> = rack.mutating_calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, Some(201)], "a client does not try a change again by itself");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_executed_at_once_and_answered_late() {
    let (rack, _) = rack(Options::instant()).await;
    // One that waits as long as it takes, and has no timer that the test's clock could run into.
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {}", rack.token()).parse().unwrap());
    let patient = reqwest::Client::builder().default_headers(headers).build().unwrap();
    let client = Client::new_with_client(rack.url().as_str(), patient);
    rack.faults().inject(Fault::Slow(LONG).on(Operation::InstanceCreate));
    let begun = Instant::now();
    let mut guests = rack.events();
    let (made, executed) = tokio::join!(create(&client, instance("tom")), async {
        guests.wait_for(|guests| !guests.is_empty()).await.unwrap();
        begun.elapsed()
    });
    made.unwrap();
    assert!(executed < LONG && begun.elapsed() >= LONG);
}

#[tokio::test]
async fn every_second_look_fails() {
    let (rack, client) = rack(Options::instant()).await;
    rack.faults().inject(Fault::Unavailable.on(Operation::InstanceList).every(2));
    let look = || client.instance_list().project(PROJECT).send();
    for _ in 0..3 {
        look().await.unwrap();
        assert_eq!(refused(look().await).0, 503);
    }
    rack.faults().clear();
    look().await.unwrap();
    look().await.unwrap();
}

#[tokio::test]
async fn what_could_not_go_wrong_this_time_goes_wrong_the_next() {
    let (rack, client) = rack(Options::instant()).await;
    create(&client, instance("tom")).await.unwrap();
    rack.faults().inject(Fault::StartFails);
    start(&client, "tom").await.unwrap();
    assert_eq!(refused(create(&client, instance("tom")).await).1, "ObjectAlreadyExists");
    assert_eq!((rack.faults().left(), state(&client, "tom").await), (1, InstanceState::Running));
    create(&client, InstanceCreate { start: false, ..instance("leo") }).await.unwrap();
    assert_eq!(rack.faults().left(), 1);
    create(&client, instance("kit")).await.unwrap();
    assert_eq!((rack.faults().left(), state(&client, "kit").await), (0, InstanceState::Failed));
}
