//! How many workers must stay, and the budget that says so.

use crate::names::{MANAGED_BY_LABEL, MANAGER, MODEL_LABEL, NAME_LABEL, WORKER};
use clowder_core::desired::DesiredModels;
use clowder_core::status::{ModelStatus, ModelStatuses};
use clowder_core::worker::WorkerState;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// What the workers of a label need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// So many of them must serve when one has been taken away.
    Keep(i32),
    /// There are none.
    Nothing,
    /// It is not known yet how the model fares.
    Unknown,
}

/// What the workers of the desired models need, by the label they bear. Two models may share one, and so one budget: a Pod
/// that two budgets select cannot be evicted at all.
///
/// One may go at any time, also the only one: otherwise no node of its model could be drained. But while others are on their way
/// for those on a cordoned node, these wait for them.
pub(super) fn needs(desired: &DesiredModels, statuses: &ModelStatuses) -> BTreeMap<String, Need> {
    let mut counts: BTreeMap<String, Option<(usize, bool)>> = BTreeMap::new();
    for name in desired.keys() {
        let sum = counts.entry(name.slug()).or_insert(Some((0, false)));
        *sum = sum
            .zip(statuses.get(name))
            .map(|((count, moving), status)| (count + counted(status), moving || status.moving));
    }
    let need = |sum: Option<(usize, bool)>| match sum {
        None => Need::Unknown,
        Some((0, _)) => Need::Nothing,
        Some((count, moving)) => Need::Keep(i32::try_from(count - usize::from(!moving)).unwrap_or(i32::MAX)),
    };
    counts.into_iter().map(|(slug, sum)| (slug, need(sum))).collect()
}

/// Workers that count: those there are, up to as many as are asked for, those on trial among them. One that is on its way out
/// counts until its replacement is there; a replica that finds no place does not, nor does a worker that its node refused, or no
/// node of its model could be drained ever.
fn counted(status: &ModelStatus) -> usize {
    let there = status.workers.iter().filter(|worker| worker.state != WorkerState::Stopped && !worker.refused).count();
    there.min(status.spec.rollout.shares(status.spec.replicas).total() as usize)
}

/// The name of a label's budget.
pub(super) fn name(slug: &str) -> String {
    format!("{WORKER}-{slug}")
}

/// The budget that keeps so many workers of a label.
pub(super) fn budget(namespace: &str, name: &str, slug: &str, keep: i32) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some(labels(slug)),
            ..ObjectMeta::default()
        },
        spec: Some(spec(slug, keep)),
        status: None,
    }
}

/// Why not `maxUnavailable: 1`? It is a share of what a Pod's controller asks for. That of workers' Pods is their Model, which
/// has a scale, and the disruption controller would ask it: under autoscaling there are no replicas in it, which is an error,
/// and no eviction would be allowed at all.
pub(super) fn spec(slug: &str, keep: i32) -> PodDisruptionBudgetSpec {
    PodDisruptionBudgetSpec {
        min_available: Some(IntOrString::Int(keep)),
        selector: Some(LabelSelector { match_labels: Some(labels(slug)), match_expressions: None }),
        // One that does not serve is missed by nobody.
        unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        ..PodDisruptionBudgetSpec::default()
    }
}

fn labels(slug: &str) -> BTreeMap<String, String> {
    let labels = [(NAME_LABEL, WORKER), (MANAGED_BY_LABEL, MANAGER), (MODEL_LABEL, slug)];
    labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::desired::DesiredModel;
    use clowder_core::status::ModelPhase;
    use clowder_core::{ModelSpec, Worker};
    use std::sync::Arc;

    fn status(name: &str, replicas: u32, states: &[WorkerState]) -> ModelStatus {
        let mut spec = ModelSpec::new(name.parse().unwrap(), "builtin:m".parse().unwrap());
        spec.replicas = replicas;
        let worker = |(ordinal, state): (usize, &WorkerState)| {
            let mut worker = Worker::new(format!("m-0-{ordinal}").parse().unwrap(), spec.name.clone(), "a".into());
            worker.state = state.clone();
            Arc::new(worker)
        };
        let workers = states.iter().enumerate().map(worker).collect();
        let (phase, spec) = (ModelPhase::Ready, Arc::new(spec.clone()));
        ModelStatus { spec, generation: 1, phase, reason: None, facts: None, memory: None, workers, moving: false }
    }

    fn needs_of(told: Vec<ModelStatus>, untold: &[&str]) -> Vec<(String, Need)> {
        let record =
            |spec: &Arc<ModelSpec>| (spec.name.clone(), DesiredModel { spec: Arc::clone(spec), generation: 1 });
        let mut desired: DesiredModels = told.iter().map(|status| record(&status.spec)).collect();
        desired.extend(untold.iter().map(|name| record(&status(name, 1, &[]).spec)));
        let statuses = told.into_iter().map(|status| (status.spec.name.clone(), Arc::new(status))).collect();
        needs(&desired, &statuses).into_iter().collect()
    }

    fn need(replicas: u32, states: &[WorkerState]) -> Need {
        needs_of(vec![status("m", replicas, states)], &[])[0].1
    }

    #[test]
    fn all_but_one_stay() {
        use WorkerState::{Draining, Pending, Ready, Stopped};
        assert_eq!(need(3, &[Ready, Ready, Ready]), Need::Keep(2));
        assert_eq!(need(1, &[Ready]), Need::Keep(0), "a single one may be drained");
        assert_eq!(need(3, &[Ready, Ready, Draining]), Need::Keep(2), "the first is not replaced yet");
        assert_eq!(need(3, &[Ready, Ready, Draining, Pending]), Need::Keep(2));
        assert_eq!(need(2, &[Ready, Ready, Ready, Ready]), Need::Keep(1), "old ones beside new ones");
        assert_eq!(need(5, &[Ready, Ready]), Need::Keep(1), "what has no place is not waited for");
        assert_eq!(need(2, &[Stopped]), Need::Nothing);
        assert_eq!(need(0, &[Draining]), Need::Nothing);
        assert_eq!(need(2, &[]), Need::Nothing);
    }

    #[test]
    fn one_that_its_node_refused_keeps_nobody() {
        let mut status = status("m", 2, &[WorkerState::Ready, WorkerState::Pending]);
        Arc::make_mut(&mut status.workers[1]).refused = true;
        assert_eq!(needs_of(vec![status], &[])[0].1, Need::Keep(0));
    }

    #[test]
    fn all_stay_until_those_that_are_on_their_way_serve() {
        use WorkerState::{Draining, Pending, Ready, Starting};
        let moving = |replicas, states: &[WorkerState]| {
            let status = ModelStatus { moving: true, ..status("m", replicas, states) };
            needs_of(vec![status], &[])[0].1
        };
        assert_eq!(moving(1, &[Ready]), Need::Keep(1), "the other one is about to be started");
        assert_eq!(moving(1, &[Ready, Starting]), Need::Keep(1));
        assert_eq!(need(1, &[Draining, Ready]), Need::Keep(0), "it has moved");
        assert_eq!(moving(2, &[Ready, Draining, Pending]), Need::Keep(2), "nobody waited for the first");
        let told = vec![status("o/m", 1, &[Ready]), ModelStatus { moving: true, ..status("o:m", 2, &[Ready, Ready]) }];
        assert_eq!(needs_of(told, &[]), [("o-m".to_owned(), Need::Keep(3))]);
    }

    #[test]
    fn models_of_one_label_have_one_budget() {
        use WorkerState::Ready;
        let told = vec![status("o/m", 1, &[Ready]), status("o:m", 2, &[Ready, Ready]), status("n", 1, &[])];
        let needed = needs_of(told, &["new", "o-m-"]);
        let expected = [("n", Need::Nothing), ("new", Need::Unknown), ("o-m", Need::Unknown)];
        assert_eq!(needed, expected.map(|(slug, need)| (slug.to_owned(), need)));
        let told = vec![status("o/m", 1, &[Ready]), status("o:m", 2, &[Ready, Ready])];
        assert_eq!(needs_of(told, &[]), [("o-m".to_owned(), Need::Keep(2))]);
    }

    #[test]
    fn a_budget_as_it_is_written() {
        insta::assert_yaml_snapshot!(budget("clowder", &name("kitten"), "kitten", 1));
    }
}
