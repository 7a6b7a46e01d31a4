//! Has the backend do what a plan says.

use super::{Backoff, Memory};
use crate::backend::{Backend, BackendError};
use crate::chain;
use crate::plan::{Action, Plan};
use crate::worker::WorkerId;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use std::collections::HashSet;
use tokio::time::Instant;

/// Actions under way at the same time: to a cluster, each is a call over the network.
const AT_ONCE: usize = 16;

/// Applies the actions that are due: all stops before the first start, since a start may need the room of any of them, and
/// otherwise many at the same time.
pub(super) async fn apply(backend: &dyn Backend, memory: &mut Memory, plan: &Plan, backoff: Backoff, now: Instant) {
    let concerned: HashSet<&WorkerId> = plan.actions.iter().map(Action::worker).collect();
    memory.failures.retain(|worker, _| concerned.contains(worker));
    memory.actions.retain(|worker| concerned.contains(worker));
    let due = plan.actions.iter().filter(|action| memory.actions.is_due(action.worker(), now));
    let (stops, others): (Vec<&Action>, Vec<&Action>) = due.partition(|action| matches!(action, Action::Stop { .. }));
    for group in [stops, others] {
        let calls: Vec<_> = group.into_iter().map(|action| call(backend, action)).collect();
        let mut outcomes = stream::iter(calls).buffer_unordered(AT_ONCE);
        while let Some((action, outcome)) = outcomes.next().await {
            memory.applied(action, outcome, backoff);
        }
    }
}

/// A call to the backend, begun once it is polled. Boxed: a closure that makes it would not be general enough for `Send`.
fn call<'a>(backend: &'a dyn Backend, action: &'a Action) -> BoxFuture<'a, (&'a Action, Result<(), BackendError>)> {
    async move { (action, backend.apply(action).await) }.boxed()
}

impl Memory {
    fn applied(&mut self, action: &Action, outcome: Result<(), BackendError>, backoff: Backoff) {
        let worker = action.worker();
        match outcome {
            Ok(()) => {
                tracing::info!(%action, "applied");
                self.actions.succeeded(worker);
                self.failures.remove(worker);
                if let Action::Start(start) = action {
                    self.credentials.insert(worker.clone(), start.spec.credentials.clone());
                }
            }
            Err(error) => {
                tracing::warn!(%action, error = chain(&error), "not applied");
                self.actions.failed(worker.clone(), backoff);
                self.failures.insert(worker.clone(), chain(&error));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::LogOptions;
    use crate::plan::StartWorker;
    use crate::{BoxStream, Inventory, ModelSpec};
    use async_trait::async_trait;
    use std::sync::{Arc, Mutex};
    use tokio::sync::Barrier;

    /// A backend that answers so many actions of a kind only when all of them are there.
    struct Together {
        stops: Barrier,
        starts: Barrier,
        seen: Mutex<Vec<Action>>,
    }

    #[async_trait]
    impl Backend for Together {
        async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
            Ok(Arc::default())
        }

        async fn apply(&self, action: &Action) -> Result<(), BackendError> {
            match action {
                Action::Stop { .. } => self.stops.wait().await,
                Action::Start(_) => self.starts.wait().await,
            };
            self.seen.lock().unwrap().push(action.clone());
            match action.worker().as_str() {
                "m-0" => Err(BackendError::Busy { worker: action.worker().clone() }),
                _ => Ok(()),
            }
        }

        fn watch(&self) -> BoxStream<Arc<Inventory>> {
            stream::pending().boxed()
        }

        async fn logs(
            &self,
            worker: &WorkerId,
            _: LogOptions,
        ) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
            Err(BackendError::UnknownWorker { worker: worker.clone() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_and_all_stops_before_the_first_start() {
        let id = |ordinal: usize| format!("m-{ordinal}").parse::<WorkerId>().unwrap();
        let spec = Arc::new(ModelSpec::new("m".parse().unwrap(), "builtin:m".parse().unwrap()));
        let start = |ordinal| {
            let (worker, spec) = (id(ordinal), Arc::clone(&spec));
            Action::Start(StartWorker { worker, spec, node: "a".into(), memory: 1 })
        };
        let starts = (0..2 * AT_ONCE).map(start);
        let stops = (0..AT_ONCE).map(|ordinal| Action::Stop { worker: id(100 + ordinal) });
        let plan = Plan { actions: starts.chain(stops).collect(), ..Plan::default() };
        let seen = Mutex::default();
        let backend = Together { stops: Barrier::new(AT_ONCE), starts: Barrier::new(AT_ONCE), seen };
        let (mut memory, now) = (Memory::default(), Instant::now());
        apply(&backend, &mut memory, &plan, Backoff::default(), now).await;

        let seen = std::mem::take(&mut *backend.seen.lock().unwrap());
        assert_eq!(seen.len(), 3 * AT_ONCE);
        assert!(seen[..AT_ONCE].iter().all(|action| matches!(action, Action::Stop { .. })), "{seen:?}");
        assert_eq!(memory.failures.keys().collect::<Vec<_>>(), [&id(0)]);
        assert!(!memory.actions.is_due(&id(0), now) && memory.actions.is_due(&id(1), now));
    }
}
