//! Disks, addresses, interfaces and keys of an instance.

use super::Rack;
use super::create::MAX_DISKS;
use crate::answer::Answer;
use crate::page::page;
use crate::rack::disks::{label, owner};
use crate::rack::row;
use crate::refusal::{Kind, Refusal};
use crate::request::Request;
use oxide::types::{self, DiskState, InstanceState, PoolSelector};
use serde_json::json;
use uuid::Uuid;

impl Rack {
    pub(in crate::rack) fn instance_disk_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?.view.id;
        page(request, self.disks_of(instance).map(|disk| row(disk, &disk.view)))
    }

    pub(in crate::rack) fn instance_disk_attach(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let (instance, disk) = self.instance_and_disk(request)?;
        if owner(&self.disks.get(disk)?.view.state) == Some(instance) {
            return Answer::accepted(&self.disks.get(disk)?.view);
        }
        self.check_disk_attachable(disk)?;
        self.check_quiet(instance, "attach")?;
        if self.disks_of(instance).count() >= MAX_DISKS {
            return Err(Refusal::invalid(format!("cannot attach more than {MAX_DISKS} disks to instance")));
        }
        Answer::accepted(&self.set_disk_state(disk, DiskState::Attached(instance))?.view)
    }

    pub(in crate::rack) fn instance_disk_detach(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let (instance, disk) = self.instance_and_disk(request)?;
        let view = &self.disks.get(disk)?.view;
        match owner(&view.state) {
            None => return Answer::accepted(view),
            Some(owner) if owner != instance => {
                return Err(Refusal::invalid("cannot detach disk: disk is attached to another instance"));
            }
            Some(_) => {}
        }
        if self.instances.get(instance)?.view.boot_disk_id == Some(disk) {
            return Err(Refusal::Conflict("boot disk cannot be detached".to_owned()));
        }
        self.check_quiet(instance, "detach")?;
        Answer::accepted(&self.set_disk_state(disk, DiskState::Detached)?.view)
    }

    pub(in crate::rack) fn instance_external_ip_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?.view.id;
        // All of them are on one page.
        Answer::ok(&json!({ "items": self.external_ips_of(instance)? }))
    }

    pub(in crate::rack) fn instance_ephemeral_ip_attach(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?.view.id;
        let asked: types::EphemeralIpCreate = request.body()?;
        self.check_attachable(instance)?;
        if self.instances.get(instance)?.ephemeral_ip.is_none() {
            self.give_ephemeral_ip(instance, &asked.pool_selector)?;
        }
        let ips = self.external_ips_of(instance)?;
        let ephemeral = ips.iter().find(|ip| matches!(ip, types::ExternalIp::Ephemeral { .. }));
        Answer::accepted(ephemeral.ok_or(Refusal::Internal)?)
    }

    pub(in crate::rack) fn instance_ephemeral_ip_detach(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?.view.id;
        self.check_attachable(instance)?;
        match self.instances.get_mut(instance)?.ephemeral_ip.take() {
            Some(_) => Answer::done(),
            None => Err(Refusal::invalid("instance does not have an ephemeral IP attached")),
        }
    }

    pub(in crate::rack) fn give_ephemeral_ip(&mut self, instance: Uuid, pool: &PoolSelector) -> Result<(), Refusal> {
        self.select_pool(pool)?;
        let ip = self.free_address()?;
        self.instances.get_mut(instance)?.ephemeral_ip = Some(ip);
        Ok(())
    }

    pub(in crate::rack) fn instance_network_interface_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let Some(instance) = request.query("instance")? else {
            return Err(Refusal::Malformed("unable to parse query string: missing field `instance`".to_owned()));
        };
        let instance = self.pick(&self.instances, "instance", &instance, request.query("project")?.as_ref())?;
        let interfaces = instance.network_interfaces.iter();
        page(request, interfaces.map(|interface| (interface.name.to_string(), interface.id, interface)))
    }

    pub(in crate::rack) fn instance_ssh_public_key_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?;
        page(request, instance.ssh_public_keys.iter().map(|key| row(key, key)))
    }

    fn instance_and_disk(&self, request: &Request) -> Result<(Uuid, Uuid), Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?;
        let asked: types::DiskPath = request.body()?;
        let disk = self.disks.within(instance.view.project_id, &asked.disk)?;
        match disk.view.project_id == instance.view.project_id {
            true => Ok((instance.view.id, disk.view.id)),
            false => Err(Refusal::NoSuchId { kind: Kind::Disk, id: disk.view.id }),
        }
    }

    pub(super) fn check_disk_attachable(&self, disk: Uuid) -> Result<(), Refusal> {
        match &self.disks.get(disk)?.view.state {
            DiskState::Detached => Ok(()),
            DiskState::Attached(_) | DiskState::Attaching(_) | DiskState::Detaching(_) => {
                Err(Refusal::invalid("cannot attach disk: disk is attached to another instance"))
            }
            state => Err(Refusal::invalid(format!("cannot attach disk: disk is in state \"{}\"", label(state)))),
        }
    }

    /// Disks come and go only while no sled has the instance.
    fn check_quiet(&self, instance: Uuid, what: &str) -> Result<(), Refusal> {
        let instance = self.instances.get(instance)?;
        if instance.is_active() {
            return Err(Refusal::invalid(format!("cannot {what} disk: instance is not fully stopped")));
        }
        match instance.view.run_state {
            InstanceState::Creating | InstanceState::Stopped | InstanceState::Failed => Ok(()),
            state => Err(Refusal::invalid(format!("cannot {what} disk of instance in {state} state"))),
        }
    }
}
