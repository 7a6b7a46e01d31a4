//! Firewalls and addresses.

use crate::support::{PROJECT, create, delete, instance, rack, refused, stop};
use clowder_oxide_simulator::{Options, Simulator};
use oxide::types::{
    AddressAllocator, EphemeralIpCreate, ExternalIp, ExternalIpCreate, FloatingIpAttach, FloatingIpCreate,
    FloatingIpParentKind, InstanceCreate, InstanceNetworkInterfaceAttachment, InstanceNetworkInterfaceCreate,
    IpVersion, Ipv4Assignment, NameOrId, PoolSelector, PrivateIpStack, PrivateIpStackCreate, PrivateIpv4StackCreate,
    VpcFirewallRuleUpdate, VpcFirewallRuleUpdateParams,
};
use oxide::{Client, ClientCurrentUserExt, ClientFloatingIpsExt, ClientInstancesExt, ClientIpPoolsExt, ClientVpcsExt};
use std::net::IpAddr;

fn auto() -> PoolSelector {
    PoolSelector::Auto { ip_version: None }
}

fn floating(name: &str, address_allocator: AddressAllocator) -> FloatingIpCreate {
    FloatingIpCreate { address_allocator, description: String::new(), name: name.parse().unwrap() }
}

async fn attach(client: &Client, floating: &str, instance: &str) -> Result<(), oxide::Error<oxide::types::Error>> {
    let body = FloatingIpAttach { kind: FloatingIpParentKind::Instance, parent: instance.parse::<NameOrId>().unwrap() };
    client.floating_ip_attach().project(PROJECT).floating_ip(floating).body(body).send().await.map(|_| ())
}

/// A pool of six addresses.
async fn small_pool() -> (Simulator, Client) {
    rack(Options { external_ips: "127.90.0.0/29".parse().unwrap(), ..Options::instant() }).await
}

#[tokio::test]
async fn a_firewall_is_read_changed_and_written_as_a_whole() {
    let (rack, client) = rack(Options::default()).await;
    let rules = client.vpc_firewall_rules_view().project(PROJECT).vpc("default").send().await.unwrap();
    let names = |rules: &[oxide::types::VpcFirewallRule]| -> Vec<String> {
        rules.iter().map(|rule| rule.name.to_string()).collect()
    };
    assert_eq!(names(&rules.rules), ["allow-icmp", "allow-internal-inbound", "allow-ssh"]);
    let mut updates: Vec<VpcFirewallRuleUpdate> =
        rules.rules.iter().map(|rule| serde_json::from_value(serde_json::to_value(rule).unwrap()).unwrap()).collect();
    let mut https = updates[2].clone();
    https.name = "allow-https".parse().unwrap();
    https.filters.ports = Some(vec!["443".parse().unwrap()]);
    updates.push(https);
    let put = |rules: Vec<VpcFirewallRuleUpdate>| {
        let body = VpcFirewallRuleUpdateParams { rules };
        client.vpc_firewall_rules_update().project(PROJECT).vpc("default").body(body).send()
    };
    let written = put(updates.clone()).await.unwrap();
    assert_eq!(written.rules.len(), 4);
    assert_eq!(names(&rack.state().vpcs[0].firewall_rules), names(&written.rules));
    updates.push(updates[0].clone());
    assert_eq!(refused(put(updates).await).0, 400, "a name twice");
    assert!(put(Vec::new()).await.unwrap().rules.is_empty());
}

#[tokio::test]
async fn a_floating_ip_belongs_to_one_instance_at_a_time_and_outlives_it() {
    let (_rack, client) = small_pool().await;
    let body = floating("cluster", AddressAllocator::Auto { pool_selector: auto() });
    let made = client.floating_ip_create().project(PROJECT).body(body.clone()).send().await.unwrap();
    assert_eq!(made.ip.to_string(), "127.90.0.1");
    assert_eq!(refused(client.floating_ip_create().project(PROJECT).body(body).send().await).0, 400);
    for name in ["tom", "kit"] {
        create(&client, instance(name)).await.unwrap();
    }
    attach(&client, "cluster", "tom").await.unwrap();
    attach(&client, "cluster", "tom").await.unwrap();
    let (_, _, message) = refused(attach(&client, "cluster", "kit").await);
    assert_eq!(message, "floating IP cannot be attached to one instance while still attached to another");
    let delete_ip = || client.floating_ip_delete().project(PROJECT).floating_ip("cluster").send();
    assert_eq!(refused(delete_ip().await).2, "Floating IP cannot be deleted while attached to an instance");

    stop(&client, "tom").await.unwrap();
    delete(&client, "tom").await.unwrap();
    let view = client.floating_ip_view().project(PROJECT).floating_ip("cluster").send().await.unwrap();
    assert_eq!(view.instance_id, None);
    attach(&client, "cluster", "kit").await.unwrap();
    client.floating_ip_detach().project(PROJECT).floating_ip("cluster").send().await.unwrap();
    let again = client.floating_ip_detach().project(PROJECT).floating_ip("cluster").send().await;
    assert_eq!(refused(again).2, "Floating IP is not attached to an instance");
    delete_ip().await.unwrap();
}

#[tokio::test]
async fn addresses_come_from_the_pool_until_it_is_empty() {
    let (_rack, client) = small_pool().await;
    let take =
        |name: &str, allocator| client.floating_ip_create().project(PROJECT).body(floating(name, allocator)).send();
    let explicit = |ip: &str| AddressAllocator::Explicit { ip: ip.parse().unwrap() };
    assert_eq!(take("f3", explicit("127.90.0.3")).await.unwrap().ip.to_string(), "127.90.0.3");
    assert_eq!(refused(take("g", explicit("127.90.0.3")).await).2, "Requested external IP address not available");
    assert_eq!(refused(take("g", explicit("10.0.0.1")).await).0, 400, "in no pool");
    let v6 = AddressAllocator::Auto { pool_selector: PoolSelector::Auto { ip_version: Some(IpVersion::V6) } };
    assert_eq!(refused(take("g", v6).await).0, 400, "in no pool");
    let pool = client.ip_pool_list().send().await.unwrap().items.remove(0);
    for number in [1, 2, 4, 5, 6] {
        let selector = PoolSelector::Explicit { pool: pool.id.into() };
        let made = take(&format!("f{number}"), AddressAllocator::Auto { pool_selector: selector }).await.unwrap();
        assert_eq!(made.ip.to_string(), format!("127.90.0.{number}"));
    }
    let (status, code, message) = refused(take("g", AddressAllocator::Auto { pool_selector: auto() }).await);
    assert_eq!((status, code.as_str()), (507, "InsufficientCapacity"));
    assert_eq!(message, "Insufficient capacity: No external IP addresses available");
}

#[tokio::test]
async fn an_instance_has_the_addresses_it_asked_for() {
    let (rack, client) = small_pool().await;
    let allocator = AddressAllocator::Auto { pool_selector: auto() };
    client.floating_ip_create().project(PROJECT).body(floating("cluster", allocator)).send().await.unwrap();
    let external_ips = vec![
        ExternalIpCreate::Ephemeral { pool_selector: auto() },
        ExternalIpCreate::Floating { floating_ip: "cluster".parse().unwrap() },
    ];
    create(&client, InstanceCreate { external_ips, ..instance("tom") }).await.unwrap();
    let ips = client.instance_external_ip_list().project(PROJECT).instance("tom").send().await.unwrap();
    let kinds: Vec<&str> = ips
        .items
        .iter()
        .map(|ip| match ip {
            ExternalIp::Ephemeral { .. } => "ephemeral",
            ExternalIp::Floating { .. } => "floating",
            ExternalIp::Snat { .. } => "snat",
        })
        .collect();
    assert_eq!(kinds, ["ephemeral", "floating", "snat"]);
    let guest = rack.events().borrow()[0].clone();
    let expected: Vec<IpAddr> = vec!["127.90.0.3".parse().unwrap(), "127.90.0.1".parse().unwrap()];
    assert_eq!(guest.external_ips, expected, "the second address is shared for outgoing connections");

    let interfaces = client.instance_network_interface_list().project(PROJECT).instance("tom").send().await.unwrap();
    let PrivateIpStack::DualStack { v4, v6 } = &interfaces.items[0].ip_stack else { panic!("dual stack") };
    assert_eq!(Some(v4.ip), guest.private_ip);
    assert!(v6.ip.to_string().ends_with("::5"), "{}", v6.ip);
}

#[tokio::test]
async fn an_ephemeral_ip_comes_and_goes() {
    let (_rack, client) = small_pool().await;
    create(&client, instance("tom")).await.unwrap();
    let attach = || {
        let body = EphemeralIpCreate { pool_selector: auto() };
        client.instance_ephemeral_ip_attach().project(PROJECT).instance("tom").body(body).send()
    };
    let detach = || client.instance_ephemeral_ip_detach().project(PROJECT).instance("tom").send();
    assert!(matches!(attach().await.unwrap().into_inner(), ExternalIp::Ephemeral { .. }));
    attach().await.unwrap();
    detach().await.unwrap();
    assert_eq!(refused(detach().await).2, "instance does not have an ephemeral IP attached");
}

#[tokio::test]
async fn an_instance_without_interfaces_takes_no_address() {
    let (_rack, client) = small_pool().await;
    let none = InstanceNetworkInterfaceAttachment::None;
    let external_ips = vec![ExternalIpCreate::Ephemeral { pool_selector: auto() }];
    let body = InstanceCreate { network_interfaces: none.clone(), external_ips, ..instance("tom") };
    assert_eq!(refused(create(&client, body).await).0, 400);
    create(&client, InstanceCreate { network_interfaces: none, ..instance("tom") }).await.unwrap();
    let ips = client.instance_external_ip_list().project(PROJECT).instance("tom").send().await.unwrap();
    assert!(ips.items.is_empty());
}

#[tokio::test]
async fn interfaces_are_as_asked_for() {
    let (rack, client) = small_pool().await;
    let interface = |name: &str, ip: Ipv4Assignment| InstanceNetworkInterfaceCreate {
        description: String::new(),
        ip_config: PrivateIpStackCreate::V4(PrivateIpv4StackCreate { ip, transit_ips: Vec::new() }),
        name: name.parse().unwrap(),
        subnet_name: "default".parse().unwrap(),
        vpc_name: "default".parse().unwrap(),
    };
    let with = |name: &str, interfaces: Vec<InstanceNetworkInterfaceCreate>| InstanceCreate {
        boot_disk: None,
        network_interfaces: InstanceNetworkInterfaceAttachment::Create(interfaces),
        ..instance(name)
    };
    let explicit = || Ipv4Assignment::Explicit("172.30.0.9".parse().unwrap());
    let two = vec![interface("a", explicit()), interface("b", Ipv4Assignment::Auto)];
    create(&client, with("tom", two)).await.unwrap();
    let made = rack.instance("tom").unwrap().network_interfaces;
    let shown: Vec<(String, bool)> = made
        .iter()
        .map(|interface| match &interface.ip_stack {
            PrivateIpStack::V4(v4) => (v4.ip.to_string(), interface.primary),
            other => panic!("IPv4 was asked for: {other:?}"),
        })
        .collect();
    assert_eq!(shown, [("172.30.0.9".to_owned(), true), ("172.30.0.5".to_owned(), false)]);
    let taken = create(&client, with("kit", vec![interface("a", explicit())])).await;
    assert_eq!(refused(taken).2, "No available IP addresses for interface");
    let twice = vec![interface("a", Ipv4Assignment::Auto), interface("a", Ipv4Assignment::Auto)];
    assert_eq!(refused(create(&client, with("kit", twice)).await).0, 400);
    create(&client, with("kit", vec![interface("a", Ipv4Assignment::Auto)])).await.unwrap();
    assert_eq!(rack.events().borrow()[0].private_ip.unwrap().to_string(), "172.30.0.6");
}

#[tokio::test]
async fn a_new_project_has_a_network() {
    let (_rack, client) = rack(Options::default()).await;
    let vpcs = client.vpc_list().project(PROJECT).send().await.unwrap();
    let subnets = client.vpc_subnet_list().vpc(vpcs.items[0].id).send().await.unwrap();
    assert_eq!(subnets.items[0].ipv4_block.to_string(), "172.30.0.0/22");
    client.vpc_subnet_view().project(PROJECT).vpc("default").subnet("default").send().await.unwrap();
    client.vpc_view().project(PROJECT).vpc("default").send().await.unwrap();
    let me = client.current_user_view().send().await.unwrap();
    assert!(!me.fleet_viewer);
}
