//! Starting, stopping and rebooting.

use super::Rack;
use crate::answer::Answer;
use crate::fault::Fault;
use crate::rack::lifecycle::Step;
use crate::records::Fate;
use crate::refusal::Refusal;
use crate::request::Request;
use oxide::types::InstanceState;

impl Rack {
    /// A start of what is starting or runs is taken and changes nothing.
    pub(in crate::rack) fn instance_start(
        &mut self,
        request: &Request,
        fault: &mut Option<Fault>,
    ) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?;
        let id = instance.view.id;
        match instance.view.run_state {
            InstanceState::Starting | InstanceState::Running | InstanceState::Rebooting | InstanceState::Migrating => {}
            InstanceState::Stopped | InstanceState::Failed => {
                self.begin_start(id, fate_of(*fault))?;
                *fault = None;
            }
            InstanceState::Stopping => {
                return Err(Refusal::Conflict("instance must finish stopping before it can be started".to_owned()));
            }
            state => {
                return Err(Refusal::Conflict(format!(
                    "instance is in state {state} but it must be stopped to be started"
                )));
            }
        }
        Answer::accepted(&self.instances.get(id)?.view)
    }

    /// A stop of what is stopping or stopped is taken and changes nothing.
    pub(in crate::rack) fn instance_stop(
        &mut self,
        request: &Request,
        fault: &mut Option<Fault>,
    ) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?;
        let id = instance.view.id;
        match instance.view.run_state {
            InstanceState::Stopped => {}
            InstanceState::Creating => return Err(still_being_created()),
            // No sled has it, so it only has to be written down.
            InstanceState::Failed => self.change(id, InstanceState::Stopped),
            _ if *fault == Some(Fault::FailedDependency) => {
                *fault = None;
                return Err(Refusal::invalid("Failed Dependency"));
            }
            InstanceState::Stopping => {}
            InstanceState::Starting | InstanceState::Running | InstanceState::Rebooting | InstanceState::Migrating => {
                self.change(id, InstanceState::Stopping);
                match fault.take() {
                    Some(Fault::StuckStopping) => {}
                    Some(Fault::RestartRacesStop) => self.plan(id, self.times.stop, Step::FailWhileStopping),
                    _ => self.plan(id, self.times.stop, Step::Halt),
                }
            }
            state => {
                return Err(Refusal::invalid(format!("instance state cannot be changed from state \"{state}\"")));
            }
        }
        Answer::accepted(&self.instances.get(id)?.view)
    }

    pub(in crate::rack) fn instance_reboot(
        &mut self,
        request: &Request,
        fault: &mut Option<Fault>,
    ) -> Result<Answer, Refusal> {
        let instance = self.in_path(&self.instances, request, "instance")?;
        let id = instance.view.id;
        match instance.view.run_state {
            InstanceState::Creating => return Err(still_being_created()),
            state @ InstanceState::Stopped => {
                return Err(Refusal::invalid(format!("cannot reboot an instance in state {state} with no VMM")));
            }
            state @ (InstanceState::Failed | InstanceState::Destroyed | InstanceState::Repairing) => {
                return Err(Refusal::invalid(format!("instance state cannot be changed from {state}")));
            }
            _ if *fault == Some(Fault::FailedDependency) => {
                *fault = None;
                return Err(Refusal::invalid("Failed Dependency"));
            }
            _ => {
                self.change(id, InstanceState::Rebooting);
                self.plan(id, self.times.reboot, Step::Run);
            }
        }
        Answer::accepted(&self.instances.get(id)?.view)
    }
}

/// What goes wrong when the instance starts.
pub(super) fn fate_of(fault: Option<Fault>) -> Option<Fate> {
    match fault? {
        Fault::StuckStarting => Some(Fate::Stuck),
        Fault::NoSled => Some(Fate::NoSled),
        Fault::LeftStopped => Some(Fate::LeftStopped),
        Fault::StartFails => Some(Fate::Fails),
        _ => None,
    }
}

fn still_being_created() -> Refusal {
    Refusal::invalid("cannot change instance state while it is still being created")
}
