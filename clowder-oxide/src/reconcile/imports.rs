//! Imports of images, beside the loop.

use super::{Parts, hands};
use crate::apply::{Outcome, StepError};
use crate::observe::Seen;
use crate::step::Step;
use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use tokio::task::{Id, JoinSet};

type Written = Result<Outcome, StepError>;

/// Those that are under way. They end with it.
#[derive(Default)]
pub(super) struct Imports {
    tasks: JoinSet<Written>,
    steps: HashMap<Id, Step>,
}

impl Imports {
    /// Begins one, in a task of its own.
    pub(super) fn begin(&mut self, parts: Arc<Parts>, step: Step) {
        let taken = step.clone();
        // Nothing that an import does depends on what is seen.
        let task = self.tasks.spawn(async move { hands(&parts, &Seen::default()).take(&taken).await });
        self.steps.insert(task.id(), step);
    }

    /// The next that ends; never where there is none.
    pub(super) async fn next(&mut self) -> (Step, Written) {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else { return pending().await };
            let (id, written) = match ended {
                Ok((id, written)) => (id, written),
                Err(error) => (error.id(), Err(StepError::Broken(error.into()))),
            };
            if let Some(step) = self.steps.remove(&id) {
                return (step, written);
            }
        }
    }
}
