//! Lists longer than a page.

use crate::support::{PROJECT, create, instance, names, new_disk, rack, refused};
use clowder_oxide_simulator::{Operation, Options};
use futures::TryStreamExt;
use oxide::types::{InstanceCreate, NameOrIdSortMode};
use oxide::{ClientInstancesExt, ClientProjectsExt};

#[tokio::test]
async fn forty_instances_are_listed_across_pages() {
    let (rack, client) = rack(Options::instant()).await;
    for n in 0..40 {
        create(&client, instance(&format!("w-{n:02}"))).await.unwrap();
    }
    let expected: Vec<String> = (0..40).map(|n| format!("w-{n:02}")).collect();
    assert_eq!(names(&client).await, expected);

    rack.forget_calls();
    let pages = client.instance_list().project(PROJECT).limit(7).sort_by(NameOrIdSortMode::NameDescending).stream();
    let listed: Vec<String> = pages.map_ok(|instance| instance.name.to_string()).try_collect().await.unwrap();
    assert!(listed.iter().rev().eq(expected.iter()));
    let lists = rack.calls().iter().filter(|call| call.operation == Some(Operation::InstanceList)).count();
    assert_eq!(lists, 7, "six pages, and one that is empty");

    let by_id = client.instance_list().project(PROJECT).limit(9).sort_by(NameOrIdSortMode::IdAscending).stream();
    let ids: Vec<String> = by_id.map_ok(|instance| instance.id.to_string()).try_collect().await.unwrap();
    assert!(ids.is_sorted() && ids.len() == 40);
}

#[tokio::test]
async fn a_later_page_needs_its_token_alone() {
    let (_rack, client) = rack(Options::instant()).await;
    let disks = (0..7).map(|n| new_disk(&format!("d-{n}"), 1)).collect();
    create(&client, InstanceCreate { disks, ..instance("tom") }).await.unwrap();
    let disks = client.instance_disk_list().project(PROJECT).instance("tom").limit(3).stream();
    let listed: Vec<String> = disks.map_ok(|disk| disk.name.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["d-0", "d-1", "d-2", "d-3", "d-4", "d-5", "d-6", "root-tom"]);
    let wrong = client.project_list().page_token("nonsense").send().await;
    assert_eq!(refused(wrong).0, 400);
    assert_eq!(client.project_list().send().await.unwrap().items.len(), 1);
}
