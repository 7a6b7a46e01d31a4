//! Why a model cannot answer now, for a person who asked it.

use clowder_core::status::{ModelPhase, ModelStatus};
use clowder_core::{ModelName, WorkerState};

/// What to tell about a desired model that no worker serves.
pub(crate) fn explain(name: &ModelName, status: Option<&ModelStatus>) -> String {
    let Some(status) = status else { return format!("{name} was recorded and is being planned") };
    let states = || status.workers.iter().map(|worker| &worker.state);
    let fetching = states().find_map(|state| match state {
        WorkerState::Fetching(progress) => Some(progress),
        _ => None,
    });
    let reason = status.reason.as_deref().or_else(|| states().find_map(WorkerState::reason));
    let because = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    match (status.phase, fetching) {
        (ModelPhase::Fetching, Some(progress)) | (ModelPhase::Pending, Some(progress)) => match progress.total {
            Some(total) if total > 0 => {
                let percent = u128::from(progress.bytes.min(total)) * 100 / u128::from(total);
                let eta = progress.eta_seconds().map_or_else(String::new, |left| format!(", {left} s left"));
                format!("{name} is being fetched: {percent} %{eta}")
            }
            _ => format!("{name} is being fetched: {} bytes so far", progress.bytes),
        },
        (ModelPhase::Fetching, None) => format!("{name} is being fetched{because}"),
        (ModelPhase::Pending, None) => format!("{name} is waiting for a place to run{because}"),
        (ModelPhase::Starting, _) => format!("{name} is being loaded{because}"),
        (ModelPhase::Failed, _) => format!("{name} failed{because}"),
        (ModelPhase::Idle, _) if status.spec.autoscaling.is_some() => format!("{name} was asleep and is being started"),
        (ModelPhase::Idle, _) => format!("{name} is deployed with 0 replicas: scale it up"),
        _ => format!("{name} has no worker that can answer now{because}"),
    }
}

/// Whether waiting is in vain until somebody changes something.
pub(crate) fn is_hopeless(status: &ModelStatus) -> bool {
    let settled = |state: &WorkerState| matches!(state, WorkerState::Failed { .. } | WorkerState::Stopped);
    match status.phase {
        ModelPhase::Idle => status.spec.autoscaling.is_none(),
        ModelPhase::Failed => status.workers.iter().all(|worker| settled(&worker.state)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::autoscale::Autoscaling;
    use clowder_core::store::FetchProgress;
    use clowder_core::{ModelSpec, Worker};
    use std::sync::Arc;

    fn status(phase: ModelPhase, state: Option<WorkerState>) -> ModelStatus {
        let spec = ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
        let worker = state.map(|state| {
            let mut worker = Worker::new("kitten-0-0".parse().unwrap(), spec.name.clone(), "a".into());
            worker.state = state;
            Arc::new(worker)
        });
        ModelStatus {
            spec: Arc::new(spec),
            generation: 1,
            phase,
            reason: None,
            facts: None,
            memory: None,
            workers: worker.into_iter().collect(),
            moving: false,
        }
    }

    #[test]
    fn says_how_far_it_is() {
        let name = "kitten".parse().unwrap();
        let fetching = WorkerState::Fetching(FetchProgress { bytes: 40, total: Some(100), rate: 20 });
        let told = |phase, state| explain(&name, Some(&status(phase, state)));
        assert_eq!(told(ModelPhase::Fetching, Some(fetching)), "kitten is being fetched: 40 %, 3 s left");
        let backoff = WorkerState::Backoff { reason: "exit code 1".into(), retry_at_ms: 0 };
        assert_eq!(told(ModelPhase::Starting, Some(backoff)), "kitten is being loaded: exit code 1");
        assert_eq!(explain(&name, None), "kitten was recorded and is being planned");
    }

    #[test]
    fn only_what_nobody_mends_is_hopeless() {
        let failed = WorkerState::Failed { reason: "no GGUF".into() };
        let backoff = WorkerState::Backoff { reason: "killed".into(), retry_at_ms: 0 };
        assert!(is_hopeless(&status(ModelPhase::Failed, Some(failed))));
        assert!(is_hopeless(&status(ModelPhase::Idle, None)));
        let mut asleep = status(ModelPhase::Idle, None);
        let spec = ModelSpec { autoscaling: Some(Autoscaling::default()), ..ModelSpec::clone(&asleep.spec) };
        asleep.spec = Arc::new(spec);
        assert!(!is_hopeless(&asleep), "a request wakes it");
        assert!(!is_hopeless(&status(ModelPhase::Failed, Some(backoff))));
        assert!(!is_hopeless(&status(ModelPhase::Starting, None)));
    }
}
