//! What has been told already.

use crate::plan::Plan;
use crate::progress::{Event, Progress};
use std::collections::BTreeSet;

/// Tells each thing once, as long as it lasts.
#[derive(Debug, Default)]
pub(super) struct Told {
    waiting: BTreeSet<String>,
    problems: BTreeSet<String>,
    settled: bool,
}

impl Told {
    pub(super) fn plan(&mut self, progress: &dyn Progress, plan: &Plan) {
        let notes = plan.notes.iter().map(|note| format!("note: {note}"));
        self.problems(progress, plan.problems.iter().cloned().chain(notes).collect());
        let waiting: BTreeSet<String> = plan.waiting.iter().cloned().collect();
        for new in waiting.difference(&self.waiting) {
            progress.tell(&Event::Waiting(new.clone()));
        }
        self.waiting = waiting;
        let settled = plan.is_settled();
        if settled && !self.settled {
            progress.tell(&Event::Settled);
        }
        self.settled = settled;
    }

    pub(super) fn problems(&mut self, progress: &dyn Progress, problems: Vec<String>) {
        let problems: BTreeSet<String> = problems.into_iter().collect();
        for new in problems.difference(&self.problems) {
            progress.tell(&Event::Problem(new.clone()));
        }
        self.problems = problems;
    }
}
