//! The life of an instance.

use crate::support::{
    GIB, PROJECT, blank, create, delete, disk, instance, new_disk, rack, refused, start, state, stop, view,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clowder_oxide_simulator::{Options, Quotas};
use oxide::types::{
    AffinityPolicy, AntiAffinityGroupCreate, ByteCount, DiskState, FailureDomain, InstanceAutoRestartPolicy,
    InstanceCpuCount, InstanceCreate, InstanceState, InstanceUpdate,
};
use oxide::{ClientAffinityExt, ClientDisksExt, ClientInstancesExt, ClientSilosExt};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn an_instance_comes_up_and_goes_down_as_time_passes() {
    let (rack, client) = rack(Options::default()).await;
    let mut guests = rack.events();
    let made = create(&client, instance("tom")).await.unwrap();
    assert_eq!(made.run_state, InstanceState::Creating);
    assert!(!guests.borrow_and_update()[0].is_up);

    rack.clock().advance(Duration::from_secs(2));
    assert_eq!(state(&client, "tom").await, InstanceState::Starting);
    rack.clock().advance(Duration::from_secs(15));
    assert_eq!(state(&client, "tom").await, InstanceState::Running);
    let guest = guests.wait_for(|guests| guests[0].is_up).await.unwrap()[0].clone();
    assert_eq!((guest.name.as_str(), guest.boots, guest.id), ("tom", 1, made.id));
    assert_eq!(guest.private_ip.unwrap().to_string(), "172.30.0.5");

    assert_eq!(stop(&client, "tom").await.unwrap(), InstanceState::Stopping);
    let (status, _, message) = refused(delete(&client, "tom").await);
    assert_eq!((status, message.contains("not yet fully stopped")), (400, true), "{message}");
    assert_eq!(refused(start(&client, "tom").await).0, 409, "it must finish stopping");
    rack.clock().advance(Duration::from_secs(8));
    assert_eq!(state(&client, "tom").await, InstanceState::Stopped);
    assert_eq!(stop(&client, "tom").await.unwrap(), InstanceState::Stopped, "once more changes nothing");

    delete(&client, "tom").await.unwrap();
    assert_eq!(refused(view(&client, "tom").await).0, 404);
    let left = client.disk_view().project(PROJECT).disk("root-tom").send().await.unwrap();
    assert!(matches!(left.state, DiskState::Detached), "an instance's disks outlive it");
}

#[tokio::test]
async fn while_it_is_created_an_instance_takes_no_orders() {
    let (_rack, client) = rack(Options::default()).await;
    create(&client, instance("tom")).await.unwrap();
    let (status, _, message) = refused(stop(&client, "tom").await);
    assert_eq!((status, message.contains("still being created")), (400, true), "{message}");
    assert_eq!(refused(start(&client, "tom").await).0, 409);
    let (_, _, message) = refused(delete(&client, "tom").await);
    assert_eq!(message, "instance cannot be deleted in state \"creating\"");
}

#[tokio::test]
async fn without_time_all_is_done_at_once() {
    let (rack, client) = rack(Options::instant()).await;
    create(&client, instance("tom")).await.unwrap();
    assert_eq!(state(&client, "tom").await, InstanceState::Running);
    client.instance_reboot().project(PROJECT).instance("tom").send().await.unwrap();
    assert_eq!(rack.instance("tom").unwrap().boots, 2);
    stop(&client, "tom").await.unwrap();
    delete(&client, "tom").await.unwrap();
}

#[tokio::test]
async fn over_quota_a_new_instance_is_left_stopped_and_a_start_is_refused() {
    let quotas = Quotas { cpus: 4, memory: 64 * GIB, storage: 40 * GIB };
    let (_rack, client) = rack(Options { quotas, ..Options::instant() }).await;
    create(&client, instance("tom")).await.unwrap();
    create(&client, instance("kit")).await.unwrap();
    let (status, code, message) = refused(create(&client, instance("leo")).await);
    assert_eq!((status, code.as_str()), (507, "InsufficientCapacity"));
    assert!(message.starts_with("Insufficient capacity: Storage Limit Exceeded"), "{message}");

    let small = InstanceCreate { boot_disk: None, ..instance("leo") };
    create(&client, small).await.unwrap();
    assert_eq!(state(&client, "leo").await, InstanceState::Stopped);
    let (status, _, message) = refused(start(&client, "leo").await);
    assert_eq!((status, message.contains("vCPU Limit Exceeded")), (507, true), "{message}");

    let used = client.utilization_view().send().await.unwrap();
    assert_eq!((used.capacity.cpus, used.provisioned.cpus), (4, 4));
    assert_eq!((used.provisioned.memory.0, used.provisioned.storage.0), (16 * GIB, 32 * GIB));
    stop(&client, "tom").await.unwrap();
    start(&client, "leo").await.unwrap();
    assert_eq!(state(&client, "leo").await, InstanceState::Running);
}

#[tokio::test]
async fn cloud_init_is_given_32_kib_and_no_more() {
    let (rack, client) = rack(Options::instant()).await;
    let with =
        |name: &str, bytes: usize| InstanceCreate { user_data: STANDARD.encode(vec![b'#'; bytes]), ..instance(name) };
    create(&client, with("tom", 32 * 1024)).await.unwrap();
    let given = rack.instance("tom").unwrap().user_data;
    assert_eq!(given.as_bytes(), vec![b'#'; 32 * 1024]);
    assert_eq!(format!("{given:?}"), "UserData(32768 bytes)");
    let (status, _, message) = refused(create(&client, with("kit", 32 * 1024 + 1)).await);
    assert_eq!((status, message.contains("user_data")), (400, true), "{message}");
}

#[tokio::test]
async fn a_refused_instance_leaves_nothing_behind() {
    let (rack, client) = rack(Options::instant()).await;
    client.disk_create().project(PROJECT).body(disk("taken", 1, blank())).send().await.unwrap();
    let body = InstanceCreate { disks: vec![new_disk("d0", 1), new_disk("taken", 1)], ..instance("tom") };
    let (status, code, message) = refused(create(&client, body).await);
    assert_eq!((status, code.as_str()), (400, "ObjectAlreadyExists"));
    assert_eq!(message, "already exists: disk \"taken\"");
    let state = rack.state();
    assert_eq!((state.instances.len(), state.disks.len()), (0, 1));
}

#[tokio::test]
async fn what_oxide_would_not_make_is_refused() {
    let (_rack, client) = rack(Options::instant()).await;
    let bodies = [
        InstanceCreate { ncpus: InstanceCpuCount(65), ..instance("tom") },
        InstanceCreate { memory: ByteCount(GIB / 2), ..instance("tom") },
        InstanceCreate { memory: ByteCount(GIB + 1), ..instance("tom") },
        InstanceCreate { disks: (0..8).map(|n| new_disk(&format!("d{n}"), 1)).collect(), ..instance("tom") },
        InstanceCreate { anti_affinity_groups: vec!["absent".parse().unwrap()], ..instance("tom") },
        InstanceCreate { ssh_public_keys: Some(vec!["absent".parse().unwrap()]), ..instance("tom") },
    ];
    for body in bodies {
        let (status, ..) = refused(create(&client, body).await);
        assert!(status == 400 || status == 404, "{status}");
    }
    create(&client, instance("tom")).await.unwrap();
    let again = InstanceCreate { boot_disk: None, ..instance("tom") };
    assert_eq!(refused(create(&client, again).await).1, "ObjectAlreadyExists");
}

#[tokio::test]
async fn a_broken_instance_is_started_again_unless_it_says_never() {
    let (rack, client) = rack(Options::default()).await;
    create(&client, instance("tom")).await.unwrap();
    let never = Some(InstanceAutoRestartPolicy::Never);
    create(&client, InstanceCreate { auto_restart_policy: never, ..instance("kit") }).await.unwrap();
    rack.clock().advance(Duration::from_secs(20));
    assert!(rack.break_instance("tom") && rack.break_instance("kit") && !rack.break_instance("nobody"));
    assert_eq!(state(&client, "tom").await, InstanceState::Failed);

    rack.clock().advance(Duration::from_secs(80));
    let again = view(&client, "tom").await.unwrap();
    assert_eq!(again.run_state, InstanceState::Running);
    assert!(again.time_last_auto_restarted < again.auto_restart_cooldown_expiration);
    assert_eq!(rack.instance("tom").unwrap().boots, 2);
    assert_eq!(state(&client, "kit").await, InstanceState::Failed);
    assert_eq!(stop(&client, "kit").await.unwrap(), InstanceState::Stopped);

    rack.break_instance("tom");
    rack.clock().advance(Duration::from_secs(600));
    assert_eq!(state(&client, "tom").await, InstanceState::Failed, "not twice within an hour");
    rack.clock().advance(Duration::from_secs(3600));
    assert_eq!(state(&client, "tom").await, InstanceState::Running);
}

#[tokio::test]
async fn members_of_an_anti_affinity_group_are_on_sleds_of_their_own() {
    let (rack, client) = rack(Options { sleds: 3, ..Options::instant() }).await;
    let group = AntiAffinityGroupCreate {
        description: String::new(),
        failure_domain: FailureDomain::Sled,
        name: "servers".parse().unwrap(),
        policy: AffinityPolicy::Fail,
    };
    client.anti_affinity_group_create().project(PROJECT).body(group).send().await.unwrap();
    for name in ["s-0", "s-1", "s-2", "s-3"] {
        let groups = vec!["servers".parse().unwrap()];
        create(&client, InstanceCreate { anti_affinity_groups: groups, ..instance(name) }).await.unwrap();
    }
    let sleds: BTreeSet<_> = rack.state().instances.iter().filter_map(|instance| instance.sled).collect();
    assert_eq!(sleds.len(), 3);
    let (status, _, message) = refused(start(&client, "s-3").await);
    assert_eq!((status, message.as_str()), (507, "Insufficient capacity: No sleds can fit the requested instance"));

    let members = client.anti_affinity_group_member_list().project(PROJECT).anti_affinity_group("servers");
    assert_eq!(members.send().await.unwrap().items.len(), 4);
    let remove = client.anti_affinity_group_member_instance_delete();
    remove.project(PROJECT).anti_affinity_group("servers").instance("s-3").send().await.unwrap();
    start(&client, "s-3").await.unwrap();
    let add = client.anti_affinity_group_member_instance_add().project(PROJECT);
    assert_eq!(refused(add.anti_affinity_group("servers").instance("s-3").send().await).0, 400, "it runs");
    let of = client.instance_anti_affinity_group_list().project(PROJECT).instance("s-0").send().await.unwrap();
    assert_eq!(*of.items[0].name, "servers");
    client.anti_affinity_group_delete().project(PROJECT).anti_affinity_group("servers").send().await.unwrap();
}

#[tokio::test]
async fn a_group_that_allows_it_shares_a_sled_when_there_is_no_other() {
    let (rack, client) = rack(Options { sleds: 2, ..Options::instant() }).await;
    let group = AntiAffinityGroupCreate {
        description: String::new(),
        failure_domain: FailureDomain::Sled,
        name: "servers".parse().unwrap(),
        policy: AffinityPolicy::Allow,
    };
    client.anti_affinity_group_create().project(PROJECT).body(group).send().await.unwrap();
    for name in ["s-0", "s-1", "s-2"] {
        let groups = vec!["servers".parse().unwrap()];
        create(&client, InstanceCreate { anti_affinity_groups: groups, ..instance(name) }).await.unwrap();
    }
    let sleds: Vec<_> = rack.state().instances.iter().filter_map(|instance| instance.sled).collect();
    assert_eq!(sleds.len(), 3);
    assert_ne!(sleds[0], sleds[1]);
}

#[tokio::test]
async fn an_instance_is_resized_only_while_it_is_stopped() {
    let (rack, client) = rack(Options::instant()).await;
    let made = create(&client, instance("tom")).await.unwrap();
    let larger = InstanceUpdate {
        auto_restart_policy: Some(InstanceAutoRestartPolicy::Never),
        boot_disk: Some(made.boot_disk_id.unwrap().into()),
        cpu_platform: None,
        enable_jumbo_frames: false,
        memory: ByteCount(16 * GIB),
        multicast_groups: None,
        ncpus: InstanceCpuCount(4),
    };
    let update = || client.instance_update().instance(made.id).body(larger.clone());
    assert_eq!(refused(update().send().await).0, 409);
    stop(&client, "tom").await.unwrap();
    let updated = update().send().await.unwrap();
    assert_eq!((updated.ncpus.0, updated.auto_restart_enabled), (4, false));
    assert_eq!(rack.instance("tom").unwrap().view.memory.0, 16 * GIB);
}

#[tokio::test]
async fn keys_are_all_of_the_users_unless_an_instance_chooses() {
    let keys = vec!["ssh-ed25519 AAAA tom".to_owned(), "ssh-ed25519 AAAA kit".to_owned()];
    let (_rack, client) = rack(Options { ssh_keys: keys, ..Options::instant() }).await;
    let chosen = Some(vec!["key-1".parse().unwrap()]);
    for (name, keys, expected) in [("tom", None, 2), ("kit", Some(Vec::new()), 0), ("leo", chosen, 1)] {
        create(&client, InstanceCreate { ssh_public_keys: keys, ..instance(name) }).await.unwrap();
        let given = client.instance_ssh_public_key_list().project(PROJECT).instance(name).send().await.unwrap();
        assert_eq!(given.items.len(), expected, "{name}");
    }
}
