//! Keeps those who drain nodes from taking more than one worker of a model at a time.

mod need;

use crate::call::call;
use crate::desired::{KubernetesDesired, View};
use crate::mirror::{Events, Mirror, Reading, events};
use crate::names::{FIELD_MANAGER, worker_selector};
use clowder_core::reconcile::Backoff;
use clowder_core::status::ModelStatuses;
use clowder_core::{chain, until};
use futures::StreamExt;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::watcher::{Config, Event};
use kube::{Api, Client};
use need::{Need, budget, needs, spec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The least time between two writes of one budget.
const PACE: Duration = Duration::from_secs(1);
/// Between two tries of a write that fails.
const RETRY: Backoff = Backoff { first: PACE, most: Duration::from_secs(60) };

/// Keeps a `PodDisruptionBudget` for the workers of each model that has any, so that `kubectl drain` takes them one at a
/// time, each when the one before it has been replaced, and none whose replacement is on its way. A model with one worker can be
/// drained, too, and where there is no place for another one it is.
///
/// One at a time shall run in a cluster.
pub struct BudgetWriter {
    namespace: String,
    budgets: Api<PodDisruptionBudget>,
    view: watch::Receiver<Option<Arc<View>>>,
    statuses: watch::Receiver<Arc<ModelStatuses>>,
    known: Known,
}

/// The budgets there are, by name.
type Known = Mirror<PodDisruptionBudget, String, PodDisruptionBudgetSpec>;

/// When a budget may be written again, and how often that has failed in a row.
#[derive(Clone, Copy)]
struct Try {
    not_before: Instant,
    failures: u32,
}

/// A difference between the budgets that there are and those that there should be.
#[derive(Debug, PartialEq)]
enum Step {
    /// There shall be one that keeps so many workers.
    Put {
        slug: String,
        keep: i32,
    },
    Remove,
}

impl BudgetWriter {
    /// A writer of budgets for the workers that `statuses` names of the models that `desired` records. It does nothing
    /// until it is [`run`](Self::run).
    pub fn new(client: Client, desired: &KubernetesDesired, statuses: watch::Receiver<Arc<ModelStatuses>>) -> Self {
        let reading =
            Reading { key: |budget: &PodDisruptionBudget| budget.metadata.name.clone(), value: |b| b.spec.clone() };
        Self {
            namespace: desired.namespace().to_owned(),
            budgets: Api::namespaced(client, desired.namespace()),
            view: desired.view(),
            statuses,
            known: Mirror::new(reading),
        }
    }

    /// Writes until `shutdown`, or until what it writes of ends.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = events(self.budgets.clone(), Config::default().labels(&worker_selector()));
        let mut tries = BTreeMap::new();
        shutdown.run_until_cancelled(self.write(&mut changes, &mut tries)).await;
    }

    async fn write(&mut self, changes: &mut Events<PodDisruptionBudget>, tries: &mut BTreeMap<String, Try>) {
        loop {
            let due = self.round(tries).await;
            tokio::select! {
                changed = self.view.changed() => if changed.is_err() { return },
                changed = self.statuses.changed() => if changed.is_err() { return },
                next = changes.next() => {
                    let Some(events) = next else { return };
                    for event in events {
                        match event {
                            Ok(event) => self.hear(event, tries),
                            Err(error) => {
                                tracing::warn!(error = chain(&error), "budgets cannot be watched now; what was last heard stands");
                            }
                        }
                    }
                }
                () = until(due) => {}
            }
        }
    }

    /// Takes an event in. What failed is tried at once where something has changed about it.
    fn hear(&mut self, event: Event<PodDisruptionBudget>, tries: &mut BTreeMap<String, Try>) {
        if let Event::Apply(budget) | Event::Delete(budget) = &event
            && let Some(name) = &budget.metadata.name
            && tries.get(name).is_some_and(|tried| tried.failures > 0)
        {
            tries.remove(name);
        }
        self.known.take(event);
    }

    /// Makes the budgets what they should be; says when there will be more to do without anything changing.
    async fn round(&mut self, tries: &mut BTreeMap<String, Try>) -> Option<Instant> {
        let view = self.view.borrow_and_update().clone()?;
        let statuses = self.statuses.borrow_and_update().clone();
        if !self.known.is_complete() {
            return None;
        }
        let steps = steps(&needs(&view.desired, &statuses), &self.known);
        tries.retain(|name, _| steps.contains_key(name));
        let mut next: Option<Instant> = None;
        for (name, step) in steps {
            let tried = tries.get(&name).copied().unwrap_or(Try { not_before: Instant::now(), failures: 0 });
            let tried = if tried.not_before > Instant::now() { tried } else { self.step(&name, &step, tried).await };
            next = Some(next.map_or(tried.not_before, |next| next.min(tried.not_before)));
            tries.insert(name, tried);
        }
        next
    }

    async fn step(&self, name: &str, step: &Step, tried: Try) -> Try {
        let outcome = match step {
            // Not by force: a budget of that name that somebody else made, or changed, is theirs.
            Step::Put { slug, keep } => {
                let budget = budget(&self.namespace, name, slug, *keep);
                call(self.budgets.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&budget)))
                    .await
                    .map(drop)
            }
            Step::Remove => match call(self.budgets.delete(name, &DeleteParams::default())).await {
                Err(error) if !error.is_absent() => Err(error),
                _ => Ok(()),
            },
        };
        match outcome {
            Ok(()) => Try { not_before: Instant::now() + PACE, failures: 0 },
            Err(error) => {
                tracing::warn!(budget = name, error = chain(&error), "a budget of workers is not written");
                let failures = tried.failures.saturating_add(1);
                Try { not_before: Instant::now() + RETRY.wait(failures), failures }
            }
        }
    }
}

/// What there is to do, by the budget's name.
fn steps(needs: &BTreeMap<String, Need>, known: &Known) -> BTreeMap<String, Step> {
    let mut steps = BTreeMap::new();
    for (slug, need) in needs {
        let (name, there) = (need::name(slug), known.entries().get(&need::name(slug)));
        match need {
            // It cannot be made right where it is: the two exclude each other.
            Need::Keep(_) if there.is_some_and(|there| there.max_unavailable.is_some()) => {
                steps.insert(name, Step::Remove);
            }
            Need::Keep(keep) if there.is_none_or(|there| **there != spec(slug, *keep)) => {
                steps.insert(name, Step::Put { slug: slug.clone(), keep: *keep });
            }
            Need::Nothing if there.is_some() => drop(steps.insert(name, Step::Remove)),
            _ => {}
        }
    }
    let of_a_model: BTreeSet<String> = needs.keys().map(|slug| need::name(slug)).collect();
    for name in known.entries().keys().filter(|name| !of_a_model.contains(*name)) {
        steps.insert(name.clone(), Step::Remove);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    fn known(budgets: &[(&str, i32)]) -> Known {
        let reading =
            Reading { key: |budget: &PodDisruptionBudget| budget.metadata.name.clone(), value: |b| b.spec.clone() };
        let mut known = Mirror::new(reading);
        known.take(Event::Init);
        for (slug, keep) in budgets {
            known.take(Event::InitApply(budget("n", &need::name(slug), slug, *keep)));
        }
        known.take(Event::InitDone);
        known
    }

    #[test]
    fn only_what_differs_is_done() {
        let needs = BTreeMap::from(
            [
                ("a", Need::Keep(1)),
                ("b", Need::Keep(0)),
                ("c", Need::Nothing),
                ("d", Need::Unknown),
                ("e", Need::Nothing),
            ]
            .map(|(slug, need)| (slug.to_owned(), need)),
        );
        let steps = steps(&needs, &known(&[("b", 0), ("c", 2), ("d", 5), ("gone", 1)]));
        let expected = [
            ("clowder-worker-a", Step::Put { slug: "a".to_owned(), keep: 1 }),
            ("clowder-worker-c", Step::Remove),
            ("clowder-worker-gone", Step::Remove),
        ];
        assert_eq!(steps, expected.map(|(name, step)| (name.to_owned(), step)).into());
        let changed = steps_of("b", Need::Keep(1), &known(&[("b", 0)]));
        assert_eq!(changed, [Step::Put { slug: "b".to_owned(), keep: 1 }]);
    }

    #[test]
    fn one_that_was_made_what_excludes_ours_goes_first() {
        let mut changed = budget("n", &need::name("a"), "a", 1);
        let spec = changed.spec.as_mut().unwrap();
        (spec.min_available, spec.max_unavailable) = (None, Some(IntOrString::Int(1)));
        let mut known = known(&[]);
        known.take(Event::Apply(changed));
        assert_eq!(steps_of("a", Need::Keep(1), &known), [Step::Remove]);
    }

    fn steps_of(slug: &str, need: Need, known: &Known) -> Vec<Step> {
        steps(&[(slug.to_owned(), need)].into(), known).into_values().collect()
    }
}
