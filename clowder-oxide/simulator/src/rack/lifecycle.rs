//! How instances come up and go down as time passes.

use super::Rack;
use crate::records::{Fate, Instance};
use crate::refusal::Refusal;
use chrono::{DateTime, TimeDelta, Utc};
use oxide::types::{DiskState, InstanceState};
use std::time::Duration;
use uuid::Uuid;

/// How long after an automatic restart there is no other.
const COOLDOWN: TimeDelta = TimeDelta::hours(1);

/// What happens by itself, in time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// The next step of an instance, unless its state changed in another way since this was planned.
    Step { instance: Uuid, generation: u64, step: Step },
    /// Disks of an instance that is gone are detached at last.
    Detach { instance: Uuid },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new instance begins to start.
    Begin,
    /// It runs.
    Run,
    /// It is said to run.
    RunNowhere,
    /// It is down.
    Halt,
    /// It breaks.
    Fail,
    /// It breaks on its way down.
    FailWhileStopping,
    /// The control plane starts it again.
    Restart,
}

impl Rack {
    /// Lets time pass, and what is due in it happen.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.schedule.after(time);
        while let Some(due) = self.schedule.next(end) {
            match due {
                Due::Step { instance, generation, step } => {
                    let current = self.instances.get(instance).is_ok_and(|it| it.generation == generation);
                    if current {
                        self.step(instance, step);
                    }
                }
                Due::Detach { instance } => self.detach_all(instance),
            }
        }
    }

    fn step(&mut self, instance: Uuid, step: Step) {
        match step {
            Step::Begin => {
                // A start that is refused leaves a new instance stopped, and nobody is told.
                let fate = self.instances.get_mut(instance).ok().and_then(|instance| instance.fate.take());
                if self.begin_start(instance, fate).is_err() {
                    self.change(instance, InstanceState::Stopped);
                }
            }
            Step::Run => {
                self.change(instance, InstanceState::Running);
                if let Ok(instance) = self.instances.get_mut(instance) {
                    instance.is_up = true;
                    instance.boots += 1;
                }
            }
            Step::RunNowhere => self.change(instance, InstanceState::Running),
            Step::Halt => self.change(instance, InstanceState::Stopped),
            Step::Fail => self.fail(instance, self.times.auto_restart),
            Step::FailWhileStopping => self.fail(instance, self.times.restart_race),
            Step::Restart => self.restart(instance),
        }
    }

    /// A step of an instance, so much later.
    pub(super) fn plan(&mut self, instance: Uuid, after: Duration, step: Step) {
        self.plan_at(instance, self.schedule.after(after), step);
    }

    fn plan_at(&mut self, instance: Uuid, at: DateTime<Utc>, step: Step) {
        if let Ok(found) = self.instances.get(instance) {
            let due = Due::Step { instance, generation: found.generation, step };
            self.schedule.plan(at, due);
        }
    }

    /// Starts an instance that is on no sled: it gets one, and runs after a while.
    pub(super) fn begin_start(&mut self, id: Uuid, fate: Option<Fate>) -> Result<(), Refusal> {
        self.check_compute(id)?;
        let sled = self.place(id)?;
        self.instances.get_mut(id)?.sled = Some(sled);
        self.change(id, InstanceState::Starting);
        match fate {
            None => self.plan(id, self.times.start, Step::Run),
            Some(Fate::NoSled) => self.plan(id, self.times.start, Step::RunNowhere),
            Some(Fate::LeftStopped) => self.plan(id, self.times.start, Step::Halt),
            Some(Fate::Fails) => self.plan(id, self.times.start, Step::Fail),
            Some(Fate::Stuck) => {}
        }
        Ok(())
    }

    /// An instance breaks; where its policy says so, it is started again.
    pub(crate) fn fail(&mut self, id: Uuid, restart_after: Duration) {
        self.change(id, InstanceState::Failed);
        let Ok(instance) = self.instances.get(id) else { return };
        if instance.view.auto_restart_enabled {
            let cool = instance.view.auto_restart_cooldown_expiration.unwrap_or_default();
            self.plan_at(id, self.schedule.after(restart_after).max(cool), Step::Restart);
        }
    }

    fn restart(&mut self, id: Uuid) {
        let now = self.now();
        if let Ok(instance) = self.instances.get_mut(id) {
            instance.view.time_last_auto_restarted = Some(now);
            instance.view.auto_restart_cooldown_expiration = Some(now + COOLDOWN);
        }
        if self.begin_start(id, None).is_err() {
            self.plan(id, self.times.auto_restart, Step::Restart);
        }
    }

    /// The instance is in another state from now on, and what was planned for it does not happen.
    pub(super) fn change(&mut self, id: Uuid, state: InstanceState) {
        let now = self.now();
        let Ok(instance) = self.instances.get_mut(id) else { return };
        instance.generation += 1;
        instance.view.run_state = state;
        instance.view.time_run_state_updated = now;
        // A guest may work until it is down.
        instance.is_up &= state == InstanceState::Stopping;
        if matches!(state, InstanceState::Stopped | InstanceState::Failed) {
            instance.sled = None;
        }
    }

    pub(super) fn detach_all(&mut self, instance: Uuid) {
        let disks: Vec<Uuid> = self.disks_of(instance).map(|disk| disk.view.id).collect();
        for disk in disks {
            // It was found a moment ago.
            let _ = self.set_disk_state(disk, DiskState::Detached);
        }
    }
}

impl Instance {
    /// Whether a sled runs it, or is about to.
    pub(super) fn is_active(&self) -> bool {
        self.sled.is_some()
    }
}
