//! The calls that came in, and the one after which no other is answered.

use crate::description::is_mutating;
use crate::operation::Operation;
use http::Method;
use std::collections::VecDeque;

/// The most calls that are remembered; older ones are forgotten.
const MAX_CALLS: usize = 100_000;

/// A call that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// What was asked for; `None` for a path that is not simulated.
    pub operation: Option<Operation>,
    /// The status it was, or would have been, answered with; `None` where it was not executed.
    pub status: Option<u16>,
    /// Whether it may change something.
    pub mutating: bool,
}

impl Call {
    pub(crate) fn new(method: &Method, path: &str, operation: Option<Operation>, status: Option<u16>) -> Self {
        Self { method: method.clone(), path: path.to_owned(), operation, status, mutating: is_mutating(method) }
    }

    /// The operation's id in the description of the API; empty for a path that is not simulated.
    pub fn operation_id(&self) -> &'static str {
        self.operation.map_or("", Operation::id)
    }
}

/// A point of a run at which the client is cut off, as if it had crashed there: no call after it is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    calls: u64,
    counted: Counted,
    is_answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    All,
    Changes,
}

impl CrashPoint {
    /// After so many executed calls, of any kind; after 0 none is executed.
    pub fn after_calls(calls: u64) -> Self {
        Self { calls, counted: Counted::All, is_answered: true }
    }

    /// After so many executed calls that may change something; calls that only look are not counted.
    pub fn after_changes(calls: u64) -> Self {
        Self { calls, counted: Counted::Changes, is_answered: true }
    }

    /// The last call is executed, and its answer never arrives.
    pub fn without_answer(self) -> Self {
        Self { is_answered: false, ..self }
    }
}

/// What became of a call that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Its answer goes out.
    Answered,
    /// Its answer does not.
    Lost,
}

/// The calls so far.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    log: VecDeque<Call>,
    stop: Option<CrashPoint>,
    counted: u64,
}

impl Calls {
    pub(crate) fn all(&self) -> Vec<Call> {
        self.log.iter().cloned().collect()
    }

    pub(crate) fn forget(&mut self) {
        self.log.clear();
    }

    /// No call is executed after this point, counted from now on.
    pub(crate) fn stop_at(&mut self, point: CrashPoint) {
        (self.stop, self.counted) = (Some(point), 0);
    }

    pub(crate) fn revive(&mut self) {
        self.stop = None;
    }

    /// Whether calls are cut off.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|point| self.counted >= point.calls)
    }

    /// A call that was not executed.
    pub(crate) fn add_cut(&mut self, call: Call) {
        if self.log.len() == MAX_CALLS {
            self.log.pop_front();
        }
        self.log.push_back(call);
    }

    /// A call that was executed.
    pub(crate) fn add(&mut self, call: Call) -> Reach {
        let mutating = call.mutating;
        self.add_cut(call);
        let Some(point) = self.stop else { return Reach::Answered };
        if point.counted == Counted::All || mutating {
            self.counted += 1;
        }
        match self.is_stopped() && !point.is_answered {
            true => Reach::Lost,
            false => Reach::Answered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_call_before_a_crash_is_answered_or_not() {
        let call = |method| Call::new(&method, "/v1/disks", None, Some(200));
        for (point, last) in [
            (CrashPoint::after_changes(2), Reach::Answered),
            (CrashPoint::after_changes(2).without_answer(), Reach::Lost),
        ] {
            let mut calls = Calls::default();
            calls.stop_at(point);
            assert_eq!(calls.add(call(Method::POST)), Reach::Answered);
            assert_eq!(calls.add(call(Method::GET)), Reach::Answered);
            assert!(!calls.is_stopped());
            assert_eq!(calls.add(call(Method::DELETE)), last);
            assert!(calls.is_stopped());
            calls.revive();
            assert!(!calls.is_stopped());
            assert_eq!(calls.all().len(), 3);
        }
    }

    #[test]
    fn a_crash_before_the_first_call() {
        let mut calls = Calls::default();
        calls.stop_at(CrashPoint::after_calls(0));
        assert!(calls.is_stopped());
    }
}
