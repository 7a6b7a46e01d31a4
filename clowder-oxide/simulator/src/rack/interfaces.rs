//! Network interfaces of instances.

use super::Rack;
use crate::refusal::Refusal;
use oxide::types::{
    self, InstanceNetworkInterfaceAttachment as Attachment, Ipv4Assignment, Ipv6Assignment, PrivateIpStack,
    PrivateIpStackCreate, PrivateIpv4Stack, PrivateIpv4StackCreate, PrivateIpv6Stack, PrivateIpv6StackCreate,
};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use uuid::Uuid;

/// The most network interfaces of an instance.
const MAX_INTERFACES: usize = 8;

/// How many addresses at the beginning of a subnet are the rack's own.
const RESERVED: usize = 5;

impl Rack {
    /// The interfaces that an instance asks for.
    pub(super) fn make_interfaces(
        &mut self,
        project: Uuid,
        instance: Uuid,
        asked: &Attachment,
    ) -> Result<Vec<types::InstanceNetworkInterface>, Refusal> {
        let asked = match asked {
            Attachment::None => Vec::new(),
            Attachment::DefaultIpv4 => vec![default_interface(PrivateIpStackCreate::V4(auto_v4()))?],
            Attachment::DefaultIpv6 => vec![default_interface(PrivateIpStackCreate::V6(auto_v6()))?],
            Attachment::DefaultDualStack => {
                vec![default_interface(PrivateIpStackCreate::DualStack { v4: auto_v4(), v6: auto_v6() })?]
            }
            Attachment::Create(asked) => asked.clone(),
        };
        if asked.len() > MAX_INTERFACES {
            return Err(Refusal::invalid(format!(
                "An instance may not have more than {MAX_INTERFACES} network interfaces"
            )));
        }
        let mut made: Vec<types::InstanceNetworkInterface> = Vec::new();
        for interface in asked {
            let name = &interface.name;
            if made.iter().any(|other| other.name == *name) {
                return Err(Refusal::invalid(format!("network interface name {:?} is given twice", **name)));
            }
            let made_one = self.make_interface(project, instance, interface, &made)?;
            made.push(made_one);
        }
        Ok(made)
    }

    fn make_interface(
        &mut self,
        project: Uuid,
        instance: Uuid,
        asked: types::InstanceNetworkInterfaceCreate,
        siblings: &[types::InstanceNetworkInterface],
    ) -> Result<types::InstanceNetworkInterface, Refusal> {
        let vpc = self.vpcs.named(Some(project), &asked.vpc_name)?.view.id;
        if siblings.first().is_some_and(|first| first.vpc_id != vpc) {
            return Err(Refusal::invalid("All interfaces must be in the same VPC"));
        }
        let subnet = self.subnets.named(Some(vpc), &asked.subnet_name)?;
        let subnet_id = subnet.id;
        let mut taken = Taken::default();
        let all = self.instances.iter().flat_map(|instance| &instance.network_interfaces).chain(siblings);
        all.filter(|interface| interface.vpc_id == vpc).for_each(|interface| taken.add(&interface.ip_stack));
        let prefix = subnet.ipv6_block.split('/').next().and_then(|address| address.parse().ok());
        let prefix: Ipv6Addr = prefix.ok_or(Refusal::Internal)?;
        let ip_stack = match asked.ip_config {
            PrivateIpStackCreate::V4(v4) => PrivateIpStack::V4(self.assign_v4(v4, &taken)?),
            PrivateIpStackCreate::V6(v6) => PrivateIpStack::V6(assign_v6(v6, prefix, &taken)?),
            PrivateIpStackCreate::DualStack { v4, v6 } => {
                PrivateIpStack::DualStack { v4: self.assign_v4(v4, &taken)?, v6: assign_v6(v6, prefix, &taken)? }
            }
        };
        let (id, now) = (self.ids.next(), self.now());
        Ok(types::InstanceNetworkInterface {
            description: asked.description,
            id,
            instance_id: instance,
            ip_stack,
            mac: mac_of(id)?,
            name: asked.name,
            primary: siblings.is_empty(),
            subnet_id,
            time_created: now,
            time_modified: now,
            vpc_id: vpc,
        })
    }

    fn assign_v4(&self, asked: PrivateIpv4StackCreate, taken: &Taken) -> Result<PrivateIpv4Stack, Refusal> {
        let mut free = self.private_ips.hosts().skip(RESERVED - 1).filter(|ip| !taken.v4.contains(ip));
        let ip = match asked.ip {
            Ipv4Assignment::Auto => free.next(),
            Ipv4Assignment::Explicit(wanted) => free.find(|ip| *ip == wanted),
        };
        let ip = ip.ok_or_else(|| Refusal::invalid("No available IP addresses for interface"))?;
        Ok(PrivateIpv4Stack { ip, transit_ips: asked.transit_ips })
    }
}

fn assign_v6(asked: PrivateIpv6StackCreate, prefix: Ipv6Addr, taken: &Taken) -> Result<PrivateIpv6Stack, Refusal> {
    let of = |host: usize| Ipv6Addr::from(u128::from(prefix) | host as u128);
    let ip = match asked.ip {
        Ipv6Assignment::Auto => (RESERVED..).map(of).find(|ip| !taken.v6.contains(ip)),
        Ipv6Assignment::Explicit(wanted) => Some(wanted).filter(|ip| !taken.v6.contains(ip)),
    };
    let ip = ip.ok_or_else(|| Refusal::invalid("No available IP addresses for interface"))?;
    Ok(PrivateIpv6Stack { ip, transit_ips: asked.transit_ips })
}

/// Addresses of a VPC that are in use.
#[derive(Default)]
struct Taken {
    v4: BTreeSet<Ipv4Addr>,
    v6: BTreeSet<Ipv6Addr>,
}

impl Taken {
    fn add(&mut self, stack: &PrivateIpStack) {
        match stack {
            PrivateIpStack::V4(v4) => {
                self.v4.insert(v4.ip);
            }
            PrivateIpStack::V6(v6) => {
                self.v6.insert(v6.ip);
            }
            PrivateIpStack::DualStack { v4, v6 } => {
                self.v4.insert(v4.ip);
                self.v6.insert(v6.ip);
            }
        }
    }
}

fn auto_v4() -> PrivateIpv4StackCreate {
    PrivateIpv4StackCreate { ip: Ipv4Assignment::Auto, transit_ips: Vec::new() }
}

fn auto_v6() -> PrivateIpv6StackCreate {
    PrivateIpv6StackCreate { ip: Ipv6Assignment::Auto, transit_ips: Vec::new() }
}

fn default_interface(ip_config: PrivateIpStackCreate) -> Result<types::InstanceNetworkInterfaceCreate, Refusal> {
    let name = |text: &str| text.parse::<types::Name>().map_err(|_| Refusal::Internal);
    Ok(types::InstanceNetworkInterfaceCreate {
        description: "default primary interface".to_owned(),
        ip_config,
        name: name("net0")?,
        subnet_name: name("default")?,
        vpc_name: name("default")?,
    })
}

/// An address with Oxide's prefix, from an id.
fn mac_of(id: Uuid) -> Result<types::MacAddr, Refusal> {
    let [a, b, c, ..] = *id.as_bytes();
    format!("A8:40:25:F{:X}:{b:02X}:{c:02X}", a & 0x0f).parse().map_err(|_| Refusal::Internal)
}
