//! The rack's own time, and what is due in it.

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::time::Duration;

/// The moment at which each simulated rack begins: 2026-01-01T00:00:00Z, in seconds of Unix time.
const BEGINNING: i64 = 1_767_225_600;

/// What time it is, and what happens when. Nothing happens but when it is moved.
#[derive(Clone, Debug)]
pub(crate) struct Schedule<T> {
    now: DateTime<Utc>,
    due: BTreeMap<(DateTime<Utc>, u64), T>,
    planned: u64,
}

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        let now = DateTime::from_timestamp(BEGINNING, 0).unwrap_or_default();
        Self { now, due: BTreeMap::new(), planned: 0 }
    }
}

impl<T> Schedule<T> {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// When it is so much later.
    pub(crate) fn after(&self, time: Duration) -> DateTime<Utc> {
        let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
        self.now.checked_add_signed(time).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// It is due then; of two at one moment, the one that was planned first comes first.
    pub(crate) fn plan(&mut self, at: DateTime<Utc>, what: T) {
        self.planned += 1;
        self.due.insert((at, self.planned), what);
    }

    /// The next that is due until `end`, after moving to its moment; without any, it moves to `end`.
    pub(crate) fn next(&mut self, end: DateTime<Utc>) -> Option<T> {
        match self.due.first_entry() {
            Some(first) if first.key().0 <= end => {
                self.now = self.now.max(first.key().0);
                Some(first.remove())
            }
            _ => {
                self.now = self.now.max(end);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_of_its_moments_and_then_of_its_planning() {
        let mut schedule = Schedule::default();
        let (soon, late) = (schedule.after(Duration::from_secs(1)), schedule.after(Duration::from_secs(5)));
        schedule.plan(late, "c");
        schedule.plan(soon, "a");
        schedule.plan(soon, "b");
        let end = schedule.after(Duration::from_secs(3));
        assert_eq!((schedule.next(end), schedule.now()), (Some("a"), soon));
        assert_eq!(schedule.next(end), Some("b"));
        assert_eq!((schedule.next(end), schedule.now()), (None, end));
        let end = schedule.after(Duration::MAX);
        assert_eq!((schedule.next(end), schedule.now()), (Some("c"), late));
    }
}
