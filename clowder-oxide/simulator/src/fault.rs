//! What goes wrong.

use crate::description::is_mutating;
use crate::operation::Operation;
use http::Method;
use std::time::Duration;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// 503, and nothing is done.
    Unavailable,
    /// 500, and nothing is done.
    InternalError,
    /// 429 with `Retry-After`, and nothing is done.
    RateLimited {
        /// After how long to ask again; whole seconds are told.
        retry_after: Duration,
    },
    /// The call is executed at once and answered late, in real time.
    Slow(Duration),
    /// The call is executed, and the connection cut before the answer.
    LostAnswer,
    /// The connection is cut before the call is executed.
    Cut,
    /// "Failed Dependency" on a stop or a reboot, which changes nothing. A rack says it with status 400 and code
    /// `InvalidRequest` (oxidecomputer/omicron#5705).
    FailedDependency,
    /// The instance stays `starting` (oxidecomputer/omicron#8206).
    StuckStarting,
    /// The instance stays `stopping` (oxidecomputer/omicron#3135).
    StuckStopping,
    /// The instance is said to run, and is on no sled: nothing in it ever runs.
    NoSled,
    /// The instance goes back to `stopped` instead of running.
    LeftStopped,
    /// The instance becomes `failed` instead of running.
    StartFails,
    /// The instance fails while it stops, and is started again if its policy allows it (oxidecomputer/omicron#6809).
    RestartRacesStop,
    /// The disks of a deleted instance stay attached to it for a while.
    DiskStaysAttached,
}

impl Fault {
    /// Whether it is in what the call does, and not in whether it is done and answered.
    pub(crate) fn is_inside(self) -> bool {
        match self {
            Self::Unavailable | Self::InternalError | Self::RateLimited { .. } => false,
            Self::Slow(_) | Self::LostAnswer | Self::Cut => false,
            Self::FailedDependency | Self::StuckStarting | Self::StuckStopping | Self::NoSled => true,
            Self::LeftStopped | Self::StartFails | Self::RestartRacesStop | Self::DiskStaysAttached => true,
        }
    }

    /// Whether it can happen to such a call at all.
    pub fn suits(self, operation: Operation) -> bool {
        use Operation::{InstanceCreate, InstanceDelete, InstanceReboot, InstanceStart, InstanceStop};
        match self {
            Self::Unavailable | Self::InternalError | Self::RateLimited { .. } => true,
            Self::Slow(_) | Self::LostAnswer | Self::Cut => true,
            Self::FailedDependency => matches!(operation, InstanceStop | InstanceReboot),
            Self::StuckStarting | Self::NoSled | Self::LeftStopped | Self::StartFails => {
                matches!(operation, InstanceCreate | InstanceStart)
            }
            Self::StuckStopping | Self::RestartRacesStop => operation == InstanceStop,
            Self::DiskStaysAttached => operation == InstanceDelete,
        }
    }

    /// Only with calls of this operation.
    ///
    /// # Panics
    /// Where the fault does not [suit](Self::suits) it: the test would wait for nothing.
    pub fn on(self, operation: Operation) -> Injection {
        assert!(self.suits(operation), "{self:?} cannot happen to {}", operation.id());
        Injection { target: Target::Operation(operation), ..self.into() }
    }

    /// Only with calls that may change something.
    pub fn on_changes(self) -> Injection {
        Injection { target: Target::Changes, ..self.into() }
    }

    /// With the next `calls` calls that it suits.
    pub fn times(self, calls: u64) -> Injection {
        Injection::from(self).times(calls)
    }

    /// With every `nth` call that it suits, without end.
    pub fn every(self, nth: u64) -> Injection {
        Injection::from(self).every(nth)
    }
}

/// A fault, to which calls it happens, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    fault: Fault,
    target: Target,
    rate: Rate,
    seen: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Suited,
    Changes,
    Operation(Operation),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    Next(u64),
    Every(u64),
}

impl From<Fault> for Injection {
    /// With the next call that the fault suits.
    fn from(fault: Fault) -> Self {
        Self { fault, target: Target::Suited, rate: Rate::Next(1), seen: 0 }
    }
}

impl Injection {
    /// With the next `calls` such calls.
    pub fn times(self, calls: u64) -> Self {
        Self { rate: Rate::Next(calls), ..self }
    }

    /// With every `nth` such call, without end; 0 is taken for 1.
    pub fn every(self, nth: u64) -> Self {
        Self { rate: Rate::Every(nth.max(1)), ..self }
    }

    fn is_spent(&self) -> bool {
        matches!(self.rate, Rate::Next(calls) if self.seen >= calls)
    }

    /// Whether it happens to this call, which is then counted.
    fn strikes(&mut self, operation: Operation, method: &Method) -> bool {
        let meant = self.fault.suits(operation)
            && match self.target {
                Target::Suited => true,
                Target::Changes => is_mutating(method),
                Target::Operation(target) => target == operation,
            };
        if !meant || self.is_spent() {
            return false;
        }
        self.seen += 1;
        match self.rate {
            Rate::Next(_) => true,
            Rate::Every(nth) => self.seen.is_multiple_of(nth),
        }
    }
}

/// A fault that is to happen to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struck {
    pub(crate) fault: Fault,
    injection: usize,
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Injection>);

impl Faults {
    pub(crate) fn add(&mut self, injection: Injection) {
        self.0.push(injection);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many injections have not happened as often as they shall; those without end are not counted.
    pub(crate) fn left(&self) -> usize {
        self.0.iter().filter(|injection| matches!(injection.rate, Rate::Next(_))).count()
    }

    /// What happens to this call: the first that was injected and strikes. It is [settled](Self::settle) when the call
    /// is done.
    pub(crate) fn strike(&mut self, operation: Operation, method: &Method) -> Option<Struck> {
        self.0
            .iter_mut()
            .enumerate()
            .find_map(|(injection, it)| it.strikes(operation, method).then_some(Struck { fault: it.fault, injection }))
    }

    /// What was to happen did, or is still to come: a start that is refused does not get stuck.
    pub(crate) fn settle(&mut self, struck: Struck, happened: bool) {
        if let Some(injection) = self.0.get_mut(struck.injection)
            && !happened
        {
            injection.seen -= 1;
        }
        self.0.retain(|injection| !injection.is_spent());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strike(faults: &mut Faults, operation: Operation, method: &Method, happens: bool) -> Option<Fault> {
        let struck = faults.strike(operation, method)?;
        faults.settle(struck, happens);
        Some(struck.fault)
    }

    #[test]
    fn every_third_call_of_one_operation() {
        let mut faults = Faults::default();
        faults.add(Fault::Unavailable.on(Operation::DiskList).every(3));
        let mut strikes = |operation| strike(&mut faults, operation, &Method::GET, true).is_some();
        let struck: Vec<bool> = (0..6).map(|_| strikes(Operation::DiskList)).collect();
        assert_eq!(struck, [false, false, true, false, false, true]);
        assert!((0..6).all(|_| !strikes(Operation::DiskView)));
    }

    #[test]
    fn the_next_two_changes_and_no_more() {
        let mut faults = Faults::default();
        faults.add(Fault::Cut.on_changes().times(2));
        assert_eq!(strike(&mut faults, Operation::DiskList, &Method::GET, true), None);
        assert_eq!(strike(&mut faults, Operation::DiskCreate, &Method::POST, true), Some(Fault::Cut));
        assert_eq!(faults.left(), 1);
        assert_eq!(strike(&mut faults, Operation::DiskDelete, &Method::DELETE, true), Some(Fault::Cut));
        assert_eq!(faults.left(), 0);
        assert_eq!(strike(&mut faults, Operation::DiskDelete, &Method::DELETE, true), None);
    }

    #[test]
    fn what_did_not_happen_is_still_to_come() {
        let mut faults = Faults::default();
        faults.add(Fault::NoSled.into());
        assert_eq!(strike(&mut faults, Operation::InstanceStart, &Method::POST, false), Some(Fault::NoSled));
        assert_eq!(faults.left(), 1);
        assert_eq!(strike(&mut faults, Operation::InstanceStart, &Method::POST, true), Some(Fault::NoSled));
        assert_eq!(faults.left(), 0);
    }

    #[test]
    #[should_panic(expected = "StuckStarting cannot happen to disk_list")]
    fn a_fault_that_could_not_happen_is_a_mistake_of_the_test() {
        let _ = Fault::StuckStarting.on(Operation::DiskList);
    }
}
