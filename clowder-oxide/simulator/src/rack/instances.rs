//! Instances: looked at, changed and deleted. How they are made and what they have is in the modules below.

mod actions;
mod attachments;
mod create;

use super::{GIB, Rack, row};
use crate::answer::Answer;
use crate::fault::Fault;
use crate::page::page;
use crate::rack::lifecycle::Due;
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types::{self, InstanceAutoRestartPolicy, InstanceState};

/// The most vCPUs of an instance.
const MAX_VCPUS: u16 = 64;

/// The most memory of an instance, in GiB.
const MAX_MEMORY_GIB: u64 = 1536;

impl Rack {
    pub(super) fn instance_list(&self, request: &Request) -> Result<Answer, Refusal> {
        let project = self.project(request)?;
        page(request, self.instances.of(project).map(|instance| row(instance, &instance.view)))
    }

    pub(super) fn instance_view(&self, request: &Request) -> Result<Answer, Refusal> {
        Answer::ok(&self.in_path(&self.instances, request, "instance")?.view)
    }

    pub(super) fn instance_update(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?;
        let (id, project, now) = (instance.view.id, instance.view.project_id, self.now());
        let asked: types::InstanceUpdate = request.body()?;
        check_size(asked.ncpus.0, asked.memory.0)?;
        let boot_disk = match &asked.boot_disk {
            None => None,
            Some(disk) => {
                let disk = self.disks.within(project, disk)?.view.id;
                if !self.disks_of(id).any(|attached| attached.view.id == disk) {
                    return Err(Refusal::Conflict("boot disk must be attached to the instance".to_owned()));
                }
                Some(disk)
            }
        };
        let instance = self.instances.get_mut(id)?;
        let view = &instance.view;
        let resized = view.ncpus.0 != asked.ncpus.0 || view.memory.0 != asked.memory.0;
        if instance.is_active() && (resized || boot_disk != view.boot_disk_id) {
            return Err(Refusal::Conflict(
                "instance must be stopped to be resized or to change its boot disk".to_owned(),
            ));
        }
        let view = &mut instance.view;
        view.ncpus = asked.ncpus;
        view.memory = asked.memory;
        view.boot_disk_id = boot_disk;
        view.auto_restart_enabled = is_restarted(asked.auto_restart_policy);
        view.auto_restart_policy = asked.auto_restart_policy;
        view.cpu_platform = asked.cpu_platform;
        view.enable_jumbo_frames = asked.enable_jumbo_frames;
        view.time_modified = now;
        Answer::ok(view)
    }

    pub(super) fn instance_delete(&mut self, request: &Request, fault: &mut Option<Fault>) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?;
        if instance.is_active() {
            return Err(Refusal::invalid("cannot delete instance: instance is running or has not yet fully stopped"));
        }
        match instance.view.run_state {
            InstanceState::Stopped | InstanceState::Failed => {}
            state => return Err(Refusal::invalid(format!("instance cannot be deleted in state \"{state}\""))),
        }
        let id = instance.view.id;
        match fault.take() {
            Some(Fault::DiskStaysAttached) => {
                let at = self.schedule.after(self.times.late_detach);
                self.schedule.plan(at, Due::Detach { instance: id });
            }
            _ => self.detach_all(id),
        }
        for floating in self.floating_ips.iter_mut().filter(|floating| floating.instance_id == Some(id)) {
            floating.instance_id = None;
        }
        for group in self.groups.iter_mut() {
            group.members.remove(&id);
        }
        self.instances.remove(id);
        Answer::done()
    }
}

fn is_restarted(policy: Option<InstanceAutoRestartPolicy>) -> bool {
    policy != Some(InstanceAutoRestartPolicy::Never)
}

fn check_size(cpus: u16, memory: u64) -> Result<(), Refusal> {
    if cpus == 0 || cpus > MAX_VCPUS {
        return Err(Refusal::invalid(format!("cannot have more vCPUs than {MAX_VCPUS} or none per instance")));
    }
    let refuse = |message: String| Err(Refusal::InvalidValue { label: "size", message });
    if memory < GIB {
        return refuse("memory must be at least 1 GiB".to_owned());
    }
    if !memory.is_multiple_of(GIB) {
        return refuse("memory must be divisible by 1 GiB".to_owned());
    }
    if memory > MAX_MEMORY_GIB * GIB {
        return refuse(format!("memory must be less than or equal to {MAX_MEMORY_GIB} GiB"));
    }
    Ok(())
}
