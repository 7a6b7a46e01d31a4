//! External addresses, from the silo's pool.

use super::Rack;
use crate::records::Snat;
use crate::refusal::Refusal;
use oxide::types::{self, PoolSelector};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use uuid::Uuid;

/// Ports of an address that one instance has for its connections to the world.
const SNAT_PORTS: u16 = 1 << 14;

impl Rack {
    /// The pool to take an address from.
    pub(super) fn select_pool(&self, selector: &PoolSelector) -> Result<Uuid, Refusal> {
        match selector {
            PoolSelector::Explicit { pool } => self.find_pool(pool).map(|pool| pool.id),
            PoolSelector::Auto { ip_version: Some(types::IpVersion::V6) } => {
                Err(Refusal::invalid("no default unicast IPv6 pool is linked to this silo"))
            }
            PoolSelector::Auto { .. } => {
                let default = self.pools.iter().find(|pool| pool.is_default);
                default.map(|pool| pool.id).ok_or(Refusal::Internal)
            }
        }
    }

    /// The pool that an address is in.
    pub(super) fn pool_of(&self, ip: Ipv4Addr) -> Result<Uuid, Refusal> {
        let pool = self.pools.iter().find(|_| self.external_ips.contains(&ip));
        pool.map(|pool| pool.id)
            .ok_or_else(|| Refusal::invalid("The requested IP address is not in a pool of this silo"))
    }

    /// The lowest address that nobody has a part of.
    pub(super) fn free_address(&self) -> Result<Ipv4Addr, Refusal> {
        let (whole, shared) = (self.whole_addresses(), self.snats());
        let shared: BTreeSet<Ipv4Addr> = shared.into_iter().map(|snat| snat.ip).collect();
        let mut hosts = self.external_ips.hosts();
        hosts
            .find(|ip| !whole.contains(ip) && !shared.contains(ip))
            .ok_or(Refusal::NoCapacity("No external IP addresses available"))
    }

    /// Whether this very address is free.
    pub(super) fn check_free_address(&self, ip: Ipv4Addr) -> Result<(), Refusal> {
        let taken = self.whole_addresses().contains(&ip) || self.snats().iter().any(|snat| snat.ip == ip);
        match taken {
            true => Err(Refusal::invalid("Requested external IP address not available")),
            false => Ok(()),
        }
    }

    /// The first quarter of an address that is free.
    pub(super) fn free_snat(&self) -> Result<Snat, Refusal> {
        let (whole, taken) = (self.whole_addresses(), self.snats());
        self.external_ips
            .hosts()
            .filter(|ip| !whole.contains(ip))
            .flat_map(|ip| (0..4).map(move |quarter| Snat { ip, first_port: quarter * SNAT_PORTS }))
            .find(|snat| !taken.contains(snat))
            .ok_or(Refusal::NoCapacity("No external IP addresses available"))
    }

    fn whole_addresses(&self) -> BTreeSet<Ipv4Addr> {
        let floating = self.floating_ips.iter().filter_map(|floating| match floating.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        floating.chain(self.instances.iter().filter_map(|instance| instance.ephemeral_ip)).collect()
    }

    fn snats(&self) -> Vec<Snat> {
        self.instances.iter().filter_map(|instance| instance.snat).collect()
    }

    /// All external addresses of an instance.
    pub(crate) fn external_ips_of(&self, instance: Uuid) -> Result<Vec<types::ExternalIp>, Refusal> {
        let instance = self.instances.get(instance)?;
        let ip_pool_id = self.select_pool(&PoolSelector::Auto { ip_version: None })?;
        let ephemeral = instance.ephemeral_ip.map(|ip| types::ExternalIp::Ephemeral { ip: ip.into(), ip_pool_id });
        let attached = self.floating_ips.iter().filter(|floating| floating.instance_id == Some(instance.view.id));
        let floating = attached.map(|floating| types::ExternalIp::Floating {
            description: floating.description.clone(),
            id: floating.id,
            instance_id: floating.instance_id,
            ip: floating.ip,
            ip_pool_id: floating.ip_pool_id,
            name: floating.name.clone(),
            project_id: floating.project_id,
            time_created: floating.time_created,
            time_modified: floating.time_modified,
        });
        let snat = instance.snat.map(|snat| types::ExternalIp::Snat {
            first_port: snat.first_port,
            ip: snat.ip.into(),
            ip_pool_id,
            last_port: snat.first_port + (SNAT_PORTS - 1),
        });
        Ok(ephemeral.into_iter().chain(floating).chain(snat).collect())
    }
}
