//! Disks, and what may be done with them when.

use crate::support::{GIB, PROJECT, blank, create, disk, instance, new_disk, rack, refused, stop};
use clowder_oxide_simulator::Options;
use oxide::types::{ByteCount, DiskBackend, DiskCreate, DiskPath, DiskSource, DiskState, InstanceCreate};
use oxide::{ClientDisksExt, ClientInstancesExt, ClientSnapshotsExt};

#[tokio::test]
async fn sizes_are_whole_gib_within_limits() {
    let (_rack, client) = rack(Options::default()).await;
    let make = |size: u64| {
        let body = DiskCreate { size: ByteCount(size), ..disk("d", 1, blank()) };
        client.disk_create().project(PROJECT).body(body).send()
    };
    for size in [0, GIB - 1, GIB + 512, 1024 * GIB] {
        let (status, code, _) = refused(make(size).await);
        assert_eq!((status, code.as_str()), (400, "InvalidValue"), "{size}");
    }
    assert!(matches!(make(1023 * GIB).await.unwrap().state, DiskState::Creating));
    let local = DiskCreate { disk_backend: DiskBackend::Local, ..disk("l", 2000, blank()) };
    let local = client.disk_create().project(PROJECT).body(local).send().await.unwrap();
    assert_eq!(*local.block_size, 4096);
}

#[tokio::test]
async fn a_disk_is_deleted_only_when_no_instance_has_it() {
    let (_rack, client) = rack(Options::instant()).await;
    create(&client, instance("tom")).await.unwrap();
    let delete = || client.disk_delete().project(PROJECT).disk("root-tom");
    let (status, _, message) = refused(delete().send().await);
    assert_eq!((status, message.as_str()), (400, "disk cannot be deleted in state \"attached\""));
    stop(&client, "tom").await.unwrap();
    client.instance_delete().project(PROJECT).instance("tom").send().await.unwrap();
    delete().send().await.unwrap();
    let (status, code, message) = refused(delete().send().await);
    assert_eq!((status, code.as_str()), (404, "ObjectNotFound"));
    assert_eq!(message, "not found: disk with name \"root-tom\"");
}

#[tokio::test]
async fn disks_come_and_go_while_an_instance_is_stopped() {
    let (_rack, client) = rack(Options::instant()).await;
    create(&client, InstanceCreate { disks: vec![new_disk("models", 2)], ..instance("tom") }).await.unwrap();
    let path = |name: &str| DiskPath { disk: name.parse().unwrap() };
    let detach = |name: &str| client.instance_disk_detach().project(PROJECT).instance("tom").body(path(name)).send();
    let attach = |name: &str| client.instance_disk_attach().project(PROJECT).instance("tom").body(path(name)).send();
    let (_, _, message) = refused(detach("models").await);
    assert_eq!(message, "cannot detach disk: instance is not fully stopped");
    stop(&client, "tom").await.unwrap();
    assert_eq!(refused(detach("root-tom").await).0, 409, "it boots from it");
    assert!(matches!(detach("models").await.unwrap().state, DiskState::Detached));
    assert!(matches!(attach("models").await.unwrap().state, DiskState::Attached(_)));
    assert!(matches!(attach("models").await.unwrap().state, DiskState::Attached(_)), "once more changes nothing");

    create(&client, InstanceCreate { start: false, ..instance("kit") }).await.unwrap();
    let steal = client.instance_disk_attach().project(PROJECT).instance("kit").body(path("models")).send().await;
    assert_eq!(refused(steal).2, "cannot attach disk: disk is attached to another instance");
}

#[tokio::test]
async fn an_id_goes_without_a_project_and_a_name_with_one() {
    let (_rack, client) = rack(Options::default()).await;
    let made = client.disk_create().project(PROJECT).body(disk("d", 1, blank())).send().await.unwrap();
    client.disk_view().disk(made.id).send().await.unwrap();
    let (status, _, message) = refused(client.disk_view().project(PROJECT).disk(made.id).send().await);
    assert_eq!((status, message.as_str()), (400, "when providing disk as an ID project should not be specified"));
    let (status, _, message) = refused(client.disk_view().disk("d").send().await);
    assert_eq!((status, message.as_str()), (400, "disk should either be UUID or project should be specified"));
    let (status, _, message) = refused(client.disk_view().project("dogs").disk("d").send().await);
    assert_eq!((status, message.as_str()), (404, "not found: project with name \"dogs\""));
}

#[tokio::test]
async fn a_snapshot_makes_another_disk() {
    let (_rack, client) = rack(Options::default()).await;
    let made = client.disk_create().project(PROJECT).body(disk("d", 2, blank())).send().await.unwrap();
    let body =
        oxide::types::SnapshotCreate { description: String::new(), disk: made.id.into(), name: "s".parse().unwrap() };
    let snapshot = client.snapshot_create().project(PROJECT).body(body).send().await.unwrap();
    let source = DiskSource::Snapshot { snapshot_id: snapshot.id, read_only: false };
    let (_, _, message) =
        refused(client.disk_create().project(PROJECT).body(disk("small", 1, source.clone())).send().await);
    assert!(message.contains("must be greater than or equal to snapshot size"), "{message}");
    let copy = client.disk_create().project(PROJECT).body(disk("copy", 2, source)).send().await.unwrap();
    assert_eq!(copy.snapshot_id, Some(snapshot.id));
    client.snapshot_delete().project(PROJECT).snapshot("s").send().await.unwrap();
    assert!(client.snapshot_list().project(PROJECT).send().await.unwrap().items.is_empty());
}
