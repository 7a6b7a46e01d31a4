//! How an instance is made.

use super::actions::fate_of;
use super::{Rack, check_size, is_restarted};
use crate::answer::Answer;
use crate::fault::Fault;
use crate::rack::lifecycle::Step;
use crate::records::{Fate, Instance, UserData};
use crate::refusal::Refusal;
use crate::request::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oxide::types::{self, DiskState, ExternalIpCreate, InstanceDiskAttachment, InstanceState};
use uuid::Uuid;

/// The most bytes for cloud-init.
const MAX_USER_DATA: usize = 32 * 1024;

/// The most disks of an instance.
pub(super) const MAX_DISKS: usize = 8;

/// The most external addresses of an instance.
const MAX_EXTERNAL_IPS: usize = 32;

impl Rack {
    pub(in crate::rack) fn instance_create(
        &mut self,
        request: &Request,
        fault: &mut Option<Fault>,
    ) -> Result<Answer, Refusal> {
        // Either all of it is made or nothing.
        let before = self.clone();
        let made = self.make_instance(request, fate_of(*fault));
        let made = made.and_then(|id| self.instances.get(id));
        let will_start = made.as_ref().is_ok_and(|instance| instance.view.run_state == InstanceState::Creating);
        match made.and_then(|instance| Answer::created(&instance.view)) {
            Ok(answer) => {
                if will_start {
                    *fault = None;
                }
                Ok(answer)
            }
            Err(refusal) => {
                *self = before;
                Err(refusal)
            }
        }
    }

    fn make_instance(&mut self, request: &Request, fate: Option<Fate>) -> Result<Uuid, Refusal> {
        let project = self.project(request)?;
        let asked: types::InstanceCreate = request.body()?;
        check_size(asked.ncpus.0, asked.memory.0)?;
        let user_data = user_data(&asked.user_data)?;
        if !asked.multicast_groups.is_empty() {
            return Err(Refusal::invalid("multicast functionality is currently disabled"));
        }
        self.instances.check_free(Some(project), &asked.name)?;
        let (id, now) = (self.ids.next(), self.now());
        let ssh_public_keys = self.chosen_keys(asked.ssh_public_keys.as_deref())?;
        let boot_disk = self.take_disks(project, id, &asked)?;
        let network_interfaces = self.make_interfaces(project, id, &asked.network_interfaces)?;
        let run_state = match asked.start {
            true => InstanceState::Creating,
            false => InstanceState::Stopped,
        };
        let view = types::Instance {
            auto_restart_cooldown_expiration: None,
            auto_restart_enabled: is_restarted(asked.auto_restart_policy),
            auto_restart_policy: asked.auto_restart_policy,
            boot_disk_id: boot_disk,
            cpu_platform: asked.cpu_platform,
            description: asked.description.clone(),
            enable_jumbo_frames: asked.enable_jumbo_frames,
            hostname: asked.hostname.to_string(),
            id,
            memory: asked.memory.clone(),
            name: asked.name.clone(),
            ncpus: asked.ncpus.clone(),
            project_id: project,
            run_state,
            time_created: now,
            time_last_auto_restarted: None,
            time_modified: now,
            time_run_state_updated: now,
        };
        let has_interfaces = !network_interfaces.is_empty();
        self.instances.insert(Instance {
            view,
            user_data,
            ssh_public_keys,
            network_interfaces,
            ephemeral_ip: None,
            sled: None,
            boots: 0,
            is_up: false,
            snat: None,
            generation: 0,
            fate: fate.filter(|_| asked.start),
        })?;
        self.give_addresses(project, id, &asked.external_ips, has_interfaces)?;
        for group in &asked.anti_affinity_groups {
            let group = self.groups.within(project, group)?.view.id;
            self.groups.get_mut(group)?.members.insert(id);
        }
        if asked.start {
            self.plan(id, self.times.create, Step::Begin);
        }
        Ok(id)
    }

    /// Makes and attaches the disks; says which one it boots from.
    fn take_disks(
        &mut self,
        project: Uuid,
        instance: Uuid,
        asked: &types::InstanceCreate,
    ) -> Result<Option<Uuid>, Refusal> {
        let wanted = asked.boot_disk.iter().chain(&asked.disks);
        if wanted.clone().count() > MAX_DISKS {
            return Err(Refusal::invalid(format!("cannot attach more than {MAX_DISKS} disks to instance")));
        }
        let mut taken = Vec::new();
        for wanted in wanted {
            let disk = match wanted {
                InstanceDiskAttachment::Create { description, disk_backend, name, size } => {
                    let disk = types::DiskCreate {
                        description: description.clone(),
                        disk_backend: disk_backend.clone(),
                        name: name.clone(),
                        size: size.clone(),
                    };
                    self.make_disk(project, disk)?
                }
                InstanceDiskAttachment::Attach { name } => self.disks.named(Some(project), name)?.view.id,
            };
            self.check_disk_attachable(disk)?;
            self.set_disk_state(disk, DiskState::Attached(instance))?;
            taken.push(disk);
        }
        Ok(asked.boot_disk.as_ref().and_then(|_| taken.first().copied()))
    }

    fn give_addresses(
        &mut self,
        project: Uuid,
        instance: Uuid,
        asked: &[ExternalIpCreate],
        has_interfaces: bool,
    ) -> Result<(), Refusal> {
        if asked.len() > MAX_EXTERNAL_IPS {
            return Err(Refusal::invalid(format!(
                "An instance may not have more than {MAX_EXTERNAL_IPS} external IP addresses"
            )));
        }
        if !asked.is_empty() && !has_interfaces {
            return Err(Refusal::invalid("external IPs need a network interface"));
        }
        if has_interfaces {
            let snat = self.free_snat()?;
            self.instances.get_mut(instance)?.snat = Some(snat);
        }
        for wanted in asked {
            match wanted {
                ExternalIpCreate::Floating { floating_ip } => {
                    let floating = self.find_floating_ip(project, floating_ip)?;
                    self.attach_floating_ip(floating, instance)?;
                }
                ExternalIpCreate::Ephemeral { pool_selector } => {
                    if self.instances.get(instance)?.ephemeral_ip.is_some() {
                        return Err(Refusal::invalid("An instance may not have more than 1 ephemeral IP address"));
                    }
                    self.give_ephemeral_ip(instance, pool_selector)?;
                }
            }
        }
        Ok(())
    }
}

fn user_data(encoded: &str) -> Result<UserData, Refusal> {
    let refuse = |message: String| Refusal::Malformed(format!("unable to parse JSON body: user_data: {message}"));
    let bytes = STANDARD.decode(encoded).map_err(|error| refuse(error.to_string()))?;
    match bytes.len() <= MAX_USER_DATA {
        true => Ok(UserData::new(bytes)),
        false => Err(refuse(format!("invalid length {}, expected at most {MAX_USER_DATA} bytes", bytes.len()))),
    }
}
