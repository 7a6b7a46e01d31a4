//! Each operation, once: so each answer was checked against the description of the API.

use crate::support::{GIB, PROJECT, blank, block_size, create, delete, disk, instance, rack, start, stop};
use clowder_oxide_simulator::{Call, Operation, Options, SiloImage};
use oxide::types::{
    AddressAllocator, AffinityPolicy, AntiAffinityGroupCreate, DiskPath, DiskSource, EphemeralIpCreate, FailureDomain,
    FinalizeDisk, FloatingIpAttach, FloatingIpCreate, FloatingIpParentKind, FloatingIpUpdate, ImageCreate, ImageSource,
    ImportBlocksBulkWrite, InstanceCpuCount, InstanceUpdate, PoolSelector, ProjectCreate, SnapshotCreate,
    VpcFirewallRuleUpdateParams,
};
use oxide::{
    Client, ClientAffinityExt, ClientCurrentUserExt, ClientDisksExt, ClientFloatingIpsExt, ClientImagesExt,
    ClientInstancesExt, ClientIpPoolsExt, ClientProjectsExt, ClientSilosExt, ClientSnapshotsExt, ClientSystemStatusExt,
    ClientVpcsExt,
};
use std::collections::BTreeSet;

type Failure = oxide::Error<oxide::types::Error>;

async fn silo(client: &Client) -> Result<(), Failure> {
    client.ping().send().await?;
    client.current_user_view().send().await?;
    client.current_user_ssh_key_list().send().await?;
    client.utilization_view().send().await?;
    client.ip_pool_list().send().await?;
    client.ip_pool_view().pool("default").send().await?;
    let body = ProjectCreate { defaults: None, description: String::new(), name: "dogs".parse().unwrap() };
    client.project_create().body(body).send().await?;
    client.project_list().send().await?;
    client.project_view().project(PROJECT).send().await?;
    Ok(())
}

async fn networks(client: &Client) -> Result<(), Failure> {
    client.vpc_list().project(PROJECT).send().await?;
    client.vpc_view().project(PROJECT).vpc("default").send().await?;
    client.vpc_subnet_list().project(PROJECT).vpc("default").send().await?;
    client.vpc_subnet_view().project(PROJECT).vpc("default").subnet("default").send().await?;
    client.vpc_firewall_rules_view().project(PROJECT).vpc("default").send().await?;
    let body = VpcFirewallRuleUpdateParams { rules: Vec::new() };
    client.vpc_firewall_rules_update().project(PROJECT).vpc("default").body(body).send().await?;
    Ok(())
}

async fn images(client: &Client) -> Result<(), Failure> {
    let source = DiskSource::ImportingBlocks { block_size: block_size() };
    client.disk_create().project(PROJECT).body(disk("import", 1, source)).send().await?;
    client.disk_bulk_write_import_start().project(PROJECT).disk("import").send().await?;
    let body = ImportBlocksBulkWrite { base64_encoded_data: String::new(), offset: 0 };
    client.disk_bulk_write_import().project(PROJECT).disk("import").body(body).send().await?;
    client.disk_bulk_write_import_stop().project(PROJECT).disk("import").send().await?;
    let body = FinalizeDisk { snapshot_name: Some("imported".parse().unwrap()) };
    client.disk_finalize_import().project(PROJECT).disk("import").body(body).send().await?;
    let name = "again".parse().unwrap();
    let body = SnapshotCreate { description: String::new(), disk: "import".parse().unwrap(), name };
    client.snapshot_create().project(PROJECT).body(body).send().await?;
    client.snapshot_list().project(PROJECT).send().await?;
    let snapshot = client.snapshot_view().project(PROJECT).snapshot("imported").send().await?;
    let body = ImageCreate {
        description: String::new(),
        name: "debian".parse().unwrap(),
        os: "debian".to_owned(),
        source: ImageSource::Snapshot(snapshot.id),
        version: "12".to_owned(),
    };
    client.image_create().project(PROJECT).body(body).send().await?;
    client.image_list().send().await?;
    client.image_view().project(PROJECT).image("debian").send().await?;
    client.image_delete().project(PROJECT).image("debian").send().await?;
    client.snapshot_delete().project(PROJECT).snapshot("again").send().await?;
    client.disk_list().project(PROJECT).send().await?;
    client.disk_view().project(PROJECT).disk("import").send().await?;
    client.disk_delete().project(PROJECT).disk("import").send().await?;
    Ok(())
}

async fn instances(client: &Client) -> Result<(), Failure> {
    let made = create(client, instance("tom")).await?;
    client.instance_list().project(PROJECT).send().await?;
    client.instance_view().instance(made.id).send().await?;
    client.instance_external_ip_list().instance(made.id).send().await?;
    client.instance_network_interface_list().instance(made.id).send().await?;
    client.instance_ssh_public_key_list().instance(made.id).send().await?;
    client.instance_anti_affinity_group_list().instance(made.id).send().await?;
    let body = EphemeralIpCreate { pool_selector: PoolSelector::Auto { ip_version: None } };
    client.instance_ephemeral_ip_attach().instance(made.id).body(body).send().await?;
    client.instance_ephemeral_ip_detach().instance(made.id).send().await?;
    client.instance_reboot().instance(made.id).send().await?;
    stop(client, "tom").await?;
    let body = InstanceUpdate {
        auto_restart_policy: None,
        boot_disk: None,
        cpu_platform: None,
        enable_jumbo_frames: false,
        memory: made.memory,
        multicast_groups: None,
        ncpus: InstanceCpuCount(1),
    };
    client.instance_update().instance(made.id).body(body).send().await?;
    client.disk_create().project(PROJECT).body(disk("d", 1, blank())).send().await?;
    let path = || DiskPath { disk: "d".parse().unwrap() };
    client.instance_disk_attach().project(PROJECT).instance("tom").body(path()).send().await?;
    client.instance_disk_list().project(PROJECT).instance("tom").send().await?;
    client.instance_disk_detach().project(PROJECT).instance("tom").body(path()).send().await?;
    Ok(())
}

async fn floating_ips(client: &Client) -> Result<(), Failure> {
    let allocator = AddressAllocator::Auto { pool_selector: PoolSelector::Auto { ip_version: None } };
    let name = "ip".parse().unwrap();
    let body = FloatingIpCreate { address_allocator: allocator, description: String::new(), name };
    let made = client.floating_ip_create().project(PROJECT).body(body).send().await?;
    let body = FloatingIpUpdate { description: Some("the cluster's".to_owned()), name: Some("api".parse().unwrap()) };
    let renamed = client.floating_ip_update().floating_ip(made.id).body(body).send().await?;
    assert_eq!((renamed.name.as_str(), renamed.description.as_str()), ("api", "the cluster's"));
    client.floating_ip_list().project(PROJECT).send().await?;
    client.floating_ip_view().project(PROJECT).floating_ip("api").send().await?;
    let body = FloatingIpAttach { kind: FloatingIpParentKind::Instance, parent: "tom".parse().unwrap() };
    client.floating_ip_attach().project(PROJECT).floating_ip("api").body(body).send().await?;
    client.floating_ip_detach().project(PROJECT).floating_ip("api").send().await?;
    client.floating_ip_delete().project(PROJECT).floating_ip("api").send().await?;
    Ok(())
}

async fn groups(client: &Client) -> Result<(), Failure> {
    let body = AntiAffinityGroupCreate {
        description: String::new(),
        failure_domain: FailureDomain::Sled,
        name: "servers".parse().unwrap(),
        policy: AffinityPolicy::Allow,
    };
    client.anti_affinity_group_create().project(PROJECT).body(body).send().await?;
    client.anti_affinity_group_list().project(PROJECT).send().await?;
    client.anti_affinity_group_view().project(PROJECT).anti_affinity_group("servers").send().await?;
    let add = client.anti_affinity_group_member_instance_add().project(PROJECT);
    add.anti_affinity_group("servers").instance("tom").send().await?;
    let view = client.anti_affinity_group_member_instance_view().project(PROJECT);
    view.anti_affinity_group("servers").instance("tom").send().await?;
    client.anti_affinity_group_member_list().project(PROJECT).anti_affinity_group("servers").send().await?;
    let remove = client.anti_affinity_group_member_instance_delete().project(PROJECT);
    remove.anti_affinity_group("servers").instance("tom").send().await?;
    client.anti_affinity_group_delete().project(PROJECT).anti_affinity_group("servers").send().await?;
    start(client, "tom").await?;
    stop(client, "tom").await?;
    delete(client, "tom").await
}

#[tokio::test]
async fn each_operation_is_answered_as_described() {
    let silo_images = vec![SiloImage { name: "debian".to_owned(), size: GIB }];
    let ssh_keys = vec!["ssh-ed25519 AAAA tom".to_owned()];
    let (rack, client) = rack(Options { silo_images, ssh_keys, ..Options::instant() }).await;
    silo(&client).await.unwrap();
    networks(&client).await.unwrap();
    images(&client).await.unwrap();
    instances(&client).await.unwrap();
    floating_ips(&client).await.unwrap();
    groups(&client).await.unwrap();
    let done = |call: &Call| call.status.is_some_and(|status| status < 300);
    let answered: BTreeSet<Operation> =
        rack.calls().iter().filter(|call| done(call)).filter_map(|c| c.operation).collect();
    assert_eq!(answered, Operation::ALL.iter().copied().collect());
    assert!(rack.wrong_answers().is_empty(), "{:?}", rack.wrong_answers());
}
