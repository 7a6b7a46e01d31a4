//! Floating IPs: external addresses that stay when instances go.

use super::{Rack, row};
use crate::answer::Answer;
use crate::page::page;
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types::{self, InstanceState, NameOrId};
use std::net::IpAddr;
use uuid::Uuid;

/// How the API calls one in its parameters.
const VARIABLE: &str = "floating_ip";

impl Rack {
    pub(super) fn floating_ip_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        page(request, self.floating_ips.of(project).map(|floating| row(floating, floating)))
    }

    pub(super) fn floating_ip_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(self.in_path(&self.floating_ips, request, VARIABLE)?)
    }

    pub(super) fn floating_ip_create(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        let asked: types::FloatingIpCreate = request.body()?;
        self.floating_ips.check_free(Some(project), &asked.name)?;
        let (ip, pool) = match asked.address_allocator {
            types::AddressAllocator::Auto { pool_selector } => {
                let pool = self.select_pool(&pool_selector)?;
                (self.free_address()?, pool)
            }
            types::AddressAllocator::Explicit { ip: IpAddr::V4(ip) } => {
                let pool = self.pool_of(ip)?;
                self.check_free_address(ip)?;
                (ip, pool)
            }
            types::AddressAllocator::Explicit { ip: IpAddr::V6(_) } => {
                return Err(Refusal::invalid("The requested IP address is not in a pool of this silo"));
            }
        };
        let now = self.now();
        let floating = types::FloatingIp {
            description: asked.description,
            id: self.ids.next(),
            instance_id: None,
            ip: ip.into(),
            ip_pool_id: pool,
            name: asked.name,
            project_id: project,
            time_created: now,
            time_modified: now,
        };
        Answer::created(self.floating_ips.insert(floating)?)
    }

    pub(super) fn floating_ip_update(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let (id, now) = (self.in_path(&self.floating_ips, request, VARIABLE)?.id, self.now());
        let asked: types::FloatingIpUpdate = request.body()?;
        let floating = self.floating_ips.get(id)?;
        if let Some(name) = asked.name.as_ref().filter(|name| **name != floating.name) {
            self.floating_ips.check_free(Some(floating.project_id), name)?;
        }
        let floating = self.floating_ips.get_mut(id)?;
        floating.name = asked.name.unwrap_or(floating.name.clone());
        floating.description = asked.description.unwrap_or(floating.description.clone());
        floating.time_modified = now;
        Answer::ok(floating)
    }

    pub(super) fn floating_ip_delete(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let floating = self.in_path(&self.floating_ips, request, VARIABLE)?;
        if floating.instance_id.is_some() {
            return Err(Refusal::invalid("Floating IP cannot be deleted while attached to an instance"));
        }
        let id = floating.id;
        self.floating_ips.remove(id);
        Answer::done()
    }

    pub(super) fn floating_ip_attach(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let floating = self.in_path(&self.floating_ips, request, VARIABLE)?;
        let (id, project) = (floating.id, floating.project_id);
        let asked: types::FloatingIpAttach = request.body()?;
        let instance = self.instances.within(project, &asked.parent)?.view.id;
        self.check_attachable(instance)?;
        self.attach_floating_ip(id, instance)?;
        Answer::accepted(self.floating_ips.get(id)?)
    }

    pub(super) fn floating_ip_detach(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let floating = self.in_path(&self.floating_ips, request, VARIABLE)?;
        let (id, now) = (floating.id, self.now());
        let Some(instance) = floating.instance_id else {
            return Err(Refusal::invalid("Floating IP is not attached to an instance"));
        };
        self.check_attachable(instance)?;
        let floating = self.floating_ips.get_mut(id)?;
        floating.instance_id = None;
        floating.time_modified = now;
        Answer::accepted(floating)
    }

    /// Gives an address to an instance; once more to the same one changes nothing.
    pub(super) fn attach_floating_ip(&mut self, id: Uuid, instance: Uuid) -> Result<(), Refusal> {
        let now = self.now();
        let floating = self.floating_ips.get_mut(id)?;
        match floating.instance_id {
            Some(owner) if owner != instance => {
                Err(Refusal::invalid("floating IP cannot be attached to one instance while still attached to another"))
            }
            Some(_) => Ok(()),
            None => {
                floating.instance_id = Some(instance);
                floating.time_modified = now;
                Ok(())
            }
        }
    }

    pub(super) fn find_floating_ip(&self, project: Uuid, item: &NameOrId) -> Result<Uuid, Refusal> {
        let floating = self.floating_ips.within(project, item)?;
        match floating.project_id == project {
            true => Ok(floating.id),
            false => Err(Refusal::invalid("Floating IP must be in the same project as the instance")),
        }
    }

    /// Addresses come and go while an instance runs or is stopped, not in between.
    pub(super) fn check_attachable(&self, instance: Uuid) -> Result<(), Refusal> {
        match self.instances.get(instance)?.view.run_state {
            InstanceState::Running | InstanceState::Stopped => Ok(()),
            InstanceState::Creating
            | InstanceState::Starting
            | InstanceState::Stopping
            | InstanceState::Rebooting
            | InstanceState::Migrating => Err(Refusal::Unavailable),
            state => Err(Refusal::invalid(format!("cannot attach or detach an IP of an instance in {state} state"))),
        }
    }
}
