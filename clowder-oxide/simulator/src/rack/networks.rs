//! VPCs and their subnets.

use super::{Rack, row};
use crate::answer::Answer;
use crate::page::page;
use crate::records::Vpc;
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types::{self, NameOrId};
use std::net::Ipv6Addr;
use uuid::Uuid;

/// What the VPC and the subnet of a new project are called.
const DEFAULT: &str = "default";

impl Rack {
    /// The VPC of a new project, with a subnet and a firewall that lets ssh and pings in.
    pub(super) fn make_default_vpc(&mut self, project: Uuid) -> Result<(), Refusal> {
        let now = self.now();
        let name: types::Name = DEFAULT.parse().map_err(|_| Refusal::Internal)?;
        let id = self.ids.next();
        let prefix = unique_local(id);
        let net = |bits: u8| format!("{prefix}/{bits}").parse::<types::Ipv6Net>().map_err(|_| Refusal::Internal);
        let view = types::Vpc {
            description: "Default VPC".to_owned(),
            dns_name: name.clone(),
            id,
            ipv6_prefix: net(48)?,
            name: name.clone(),
            project_id: project,
            system_router_id: self.ids.next(),
            time_created: now,
            time_modified: now,
        };
        let subnet = types::VpcSubnet {
            custom_router_id: None,
            description: "The default subnet for default".to_owned(),
            id: self.ids.next(),
            ipv4_block: self.private_ips.to_string().parse().map_err(|_| Refusal::Internal)?,
            ipv6_block: net(64)?,
            name,
            time_created: now,
            time_modified: now,
            vpc_id: id,
        };
        let firewall_rules = self.default_rules(id)?;
        self.vpcs.insert(Vpc { view, firewall_rules })?;
        self.subnets.insert(subnet)?;
        Ok(())
    }

    pub(super) fn vpc_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        page(request, self.vpcs.of(project).map(|vpc| row(vpc, &vpc.view)))
    }

    pub(super) fn vpc_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(&self.in_path(&self.vpcs, request, "vpc")?.view)
    }

    pub(super) fn vpc_subnet_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let vpc = self.vpc_of(request)?;
        page(request, self.subnets.of(vpc).map(|subnet| row(subnet, subnet)))
    }

    pub(super) fn vpc_subnet_view(&self, request: &Request) -> Result<Answer, Refusal> {
        let subnet = request.path("subnet")?;
        match (&subnet, request.query("vpc")?) {
            (NameOrId::Id(id), None) => Answer::ok(self.subnets.get(*id)?),
            (NameOrId::Name(_), Some(_)) => Answer::ok(self.subnets.within(self.vpc_of(request)?, &subnet)?),
            (NameOrId::Id(_), Some(_)) => {
                Err(Refusal::invalid("when providing subnet as an ID vpc should not be specified"))
            }
            (NameOrId::Name(_), None) => {
                Err(Refusal::invalid("subnet should either be an ID or vpc should be specified"))
            }
        }
    }

    /// The VPC that a query names.
    pub(super) fn vpc_of(&self, request: &Request) -> Result<Uuid, Refusal> {
        let Some(vpc) = request.query("vpc")? else {
            return Err(Refusal::Malformed("unable to parse query string: missing field `vpc`".to_owned()));
        };
        Ok(self.pick(&self.vpcs, "vpc", &vpc, request.query("project")?.as_ref())?.view.id)
    }
}

/// A unique local prefix (RFC 4193) of 48 bits, from an id.
fn unique_local(id: Uuid) -> Ipv6Addr {
    let bytes = id.as_bytes();
    let group = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Ipv6Addr::new(0xfd00 | u16::from(bytes[0]), group(1), group(3), 0, 0, 0, 0, 0)
}
