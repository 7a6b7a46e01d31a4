//! The one loop: observe → plan → apply.
//!
//! Everything that happens to models happens here, by level and not by edge: the loop wakes when desired state, the
//! backend or a pending retry says so, looks at all there is, and does the next steps. Nothing it does depends on what
//! woke it, so a lost event, a crash and a restart are the same case.

use crate::backend::Backend;
use crate::demand::{DemandSource, Demands};
use crate::desired::{DesiredModels, DesiredStore};
use crate::due::until;
use crate::infra::Infra;
use crate::model::ModelSpec;
use crate::news::send_if_new;
use crate::node::Inventory;
use crate::placement::{Placement, Trial, Wanted};
use crate::plan::{Action, Plan, StartWorker};
use crate::secret::Credentials;
use crate::source::ModelSource;
use crate::status::ModelStatuses;
use crate::worker::{Worker, WorkerId, WorkerState};
use futures::{StreamExt, stream};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod apply;
mod inspections;
mod machines;
mod retry;
mod scaling;
mod summary;

use inspections::Inspections;
use machines::Machines;
pub use retry::Backoff;
pub(crate) use retry::Retries;
use scaling::Scaling;

/// The loop, with what it works on.
pub struct Reconciler {
    desired: Arc<dyn DesiredStore>,
    backend: Arc<dyn Backend>,
    placement: Arc<dyn Placement>,
    source: Arc<dyn ModelSource>,
    demand: Option<Arc<dyn DemandSource>>,
    infra: Option<Arc<dyn Infra>>,
    idle_machines: Duration,
    backoff: Backoff,
    statuses: watch::Sender<Arc<ModelStatuses>>,
}

/// What the loop remembers between two rounds. All of it can be learnt again.
#[derive(Default)]
struct Memory {
    inspections: Inspections,
    failures: BTreeMap<WorkerId, String>,
    actions: Retries<WorkerId>,
    /// What each worker was last started with.
    credentials: BTreeMap<WorkerId, Option<Credentials>>,
    scaling: Scaling,
    machines: Machines,
}

impl Reconciler {
    /// A loop over these; it does nothing until it is [`run`](Self::run).
    pub fn new(
        desired: Arc<dyn DesiredStore>,
        backend: Arc<dyn Backend>,
        placement: Arc<dyn Placement>,
        source: Arc<dyn ModelSource>,
    ) -> Self {
        let (statuses, _) = watch::channel(Arc::default());
        Self {
            desired,
            backend,
            placement,
            source,
            demand: None,
            infra: None,
            idle_machines: machines::IDLE,
            backoff: Backoff::default(),
            statuses,
        }
    }

    /// Other waits between tries.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Where the demand for models is told, which those under autoscaling follow.
    #[must_use]
    pub fn with_demand(mut self, demand: Arc<dyn DemandSource>) -> Self {
        self.demand = Some(demand);
        self
    }

    /// What gives machines: more of them where replicas have no place, fewer where none have run for a while.
    #[must_use]
    pub fn with_infra(mut self, infra: Arc<dyn Infra>) -> Self {
        self.infra = Some(infra);
        self
    }

    /// Another time than ten minutes for which a machine without workers stays.
    #[must_use]
    pub fn with_idle_machines(mut self, idle: Duration) -> Self {
        self.idle_machines = idle;
        self
    }

    /// How the desired models fare, from now on.
    pub fn statuses(&self) -> watch::Receiver<Arc<ModelStatuses>> {
        self.statuses.subscribe()
    }

    /// Runs until `shutdown`, or until the backend or the desired store ends. Workers go on as they are.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut memory = Memory::default();
        let mut desired_changes = self.desired.watch();
        let mut inventories = self.backend.watch();
        let mut demands = self.demand.as_ref().map_or_else(|| stream::pending().boxed(), |demand| demand.watch());
        let mut demand: Option<Arc<Demands>> = None;
        let (mut desired, mut inventory): (Option<Arc<DesiredModels>>, Option<Arc<Inventory>>) = (None, None);
        let mut looked_at = Instant::now();
        loop {
            let machines_at = memory.machines.next(self.idle_machines, looked_at);
            let retry_at = memory.next_retry(looked_at).into_iter().chain(machines_at).min();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                next = desired_changes.next() => match next {
                    Some(next) => desired = Some(next),
                    None => return,
                },
                next = inventories.next() => match next {
                    Some(next) => inventory = Some(next),
                    None => return,
                },
                Some(Ok(ended)) = memory.inspections.running.join_next() => memory.inspections.ended(ended, self.backoff),
                Some(Ok(called)) = memory.machines.calls.join_next() => memory.machines.called(called, self.backoff),
                () = until(retry_at) => {}
                next = demands.next() => match next {
                    Some(next) => {
                        let changed = scaling::differs(desired.as_deref(), demand.as_deref(), &next);
                        demand = Some(next);
                        if !changed {
                            continue;
                        }
                    }
                    None => demands = stream::pending().boxed(),
                },
            }
            if let (Some(desired), Some(inventory)) = (&desired, &inventory) {
                looked_at = Instant::now();
                let scaled = memory.scaling.scaled(desired, inventory, demand.as_deref(), looked_at);
                self.round(&mut memory, &scaled, inventory, looked_at).await;
            }
        }
    }

    async fn round(&self, memory: &mut Memory, desired: &DesiredModels, inventory: &Inventory, now: Instant) {
        memory.inspections.forget_all_but(desired);
        for model in desired.values() {
            memory.inspections.begin_due(&self.source, &model.spec, now);
        }
        let wanted = |spec: &Arc<ModelSpec>| {
            let trial = |spec: ModelSpec| Trial { memory: memory.promise(&spec), spec: Arc::new(spec) };
            Wanted {
                spec: Arc::clone(spec),
                memory: memory.promise(spec),
                trial: spec.on_trial().map(trial),
                spare: memory.scaling.spare(&spec.name),
            }
        };
        let mut wanted: Vec<Wanted> = desired.values().map(|model| wanted(&model.spec)).collect();
        // A stable sort: those of one priority stay in the order of their names.
        wanted.sort_by_key(|wanted| Reverse(wanted.spec.priority));
        let mut plan = self.placement.plan(&wanted, inventory);
        plan.actions.extend(memory.corrections(desired, inventory, &plan));
        apply::apply(self.backend.as_ref(), memory, &plan, self.backoff, now).await;
        if let Some(infra) = &self.infra {
            memory.machines.round(infra, self.idle_machines, &mut plan, inventory, now);
        }
        send_if_new(&self.statuses, Arc::new(summary::statuses(desired, inventory, &plan, memory)));
    }
}

impl Memory {
    /// Bytes of memory that one worker is promised: those asked for, or else what the headers and the settings come to once
    /// the headers are known.
    fn promise(&self, spec: &ModelSpec) -> Option<u64> {
        spec.memory.or_else(|| self.inspections.need(spec))
    }

    /// Starts of workers that failed with other credentials than are recorded now: for the plan such a worker is there, and
    /// nothing else would tell it of them.
    fn corrections(&mut self, desired: &DesiredModels, inventory: &Inventory, plan: &Plan) -> Vec<Action> {
        self.credentials.retain(|worker, _| inventory.workers.contains_key(worker));
        let failed =
            |worker: &&Arc<Worker>| matches!(worker.state, WorkerState::Backoff { .. } | WorkerState::Failed { .. });
        let planned: HashSet<&WorkerId> = plan.actions.iter().map(Action::worker).collect();
        let correction = |worker: &Arc<Worker>| {
            let spec = &desired.get(&worker.model)?.spec;
            let known = self.credentials.get(&worker.id).unwrap_or(&None);
            let due = *known != spec.credentials && !planned.contains(&worker.id);
            let spec = spec.of_revision(worker.revision).filter(|_| due)?;
            let (id, node) = (worker.id.clone(), worker.node.clone());
            Some(Action::Start(StartWorker { worker: id, spec, node, memory: worker.memory }))
        };
        inventory.workers.values().filter(failed).filter_map(correction).collect()
    }

    fn next_retry(&self, looked_at: Instant) -> Option<Instant> {
        let retries = self.inspections.next(looked_at).into_iter().chain(self.actions.next(looked_at));
        retries.chain(self.scaling.next()).min()
    }
}

#[cfg(test)]
mod tests;
