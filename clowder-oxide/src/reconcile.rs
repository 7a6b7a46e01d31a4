//! The loop that makes a cluster what it is to be: look, plan, take the steps, again. It trusts nothing but what it sees, so
//! it goes on after a crash wherever it was.

use crate::apply::{Hands, Outcome, StepError};
use crate::bootstrap::ClusterSetup;
use crate::cluster::{Cluster, MissingProject};
use crate::error::OxideError;
use crate::history::{Failure, History, Nodes};
use crate::infra::OxideInfra;
use crate::limits::Limits;
use crate::machine::MachineName;
use crate::nodes::{ClusterNodes, NodeStatus};
use crate::observe::{Seen, observe};
use crate::owner::Part;
use crate::plan::{Plan, View, plan};
use crate::progress::{Event, Progress};
use crate::rack::Rack;
use crate::sizes::{PoolSizes, Sizes};
use crate::status::ClusterStatus;
use crate::step::Step;
use clowder_core::infra::PoolName;
use clowder_core::reconcile::Backoff;
use clowder_core::{BoxError, NodeName, chain};
use futures::{FutureExt, StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

mod foresee;
mod imports;
mod told;

pub use foresee::Foreseen;
use imports::Imports;
use told::Told;

/// What a cluster is made with.
pub struct Parts {
    /// The project of a rack.
    pub rack: Rack,
    /// What the cluster is to be.
    pub cluster: Arc<Cluster>,
    /// What all its machines have in common.
    pub setup: ClusterSetup,
    /// Its nodes.
    pub nodes: Arc<dyn ClusterNodes>,
    /// How many machines its pools shall have.
    pub sizes: Arc<dyn PoolSizes>,
    /// How long things may take.
    pub limits: Limits,
    /// Who is told what happens.
    pub progress: Arc<dyn Progress>,
}

/// Why a round came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RoundError {
    /// The rack could not be looked at.
    #[error(transparent)]
    Rack(#[from] OxideError),
    /// How many machines there shall be is not known.
    #[error("the sizes of pools cannot be read")]
    Sizes(#[source] BoxError),
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Whether all is as it should be.
    pub settled: bool,
    /// Steps that were taken, or tried.
    pub steps: usize,
}

/// Makes a cluster what it is to be, and keeps it so.
pub struct Reconciler {
    parts: Arc<Parts>,
    /// Images that are being written: it takes long, and nothing else waits for it.
    imports: Imports,
    history: History,
    told: Told,
    status: watch::Sender<ClusterStatus>,
    changed: Arc<Notify>,
}

/// What is seen in one look.
struct Look {
    seen: Seen,
    nodes: Nodes,
    sizes: Sizes,
}

impl Reconciler {
    /// Nothing is asked of anybody yet.
    pub fn new(parts: Parts) -> Self {
        let status = ClusterStatus {
            cluster: parts.cluster.spec().id.to_string(),
            unseen: Some("it has not been looked at yet".to_owned()),
            ..ClusterStatus::default()
        };
        Self {
            parts: Arc::new(parts),
            imports: Imports::default(),
            history: History::default(),
            told: Told::default(),
            status: watch::Sender::new(status),
            changed: Arc::default(),
        }
    }

    /// How the cluster stands, now and after each change.
    pub fn status(&self) -> watch::Receiver<ClusterStatus> {
        self.status.subscribe()
    }

    /// The cluster's pools of workers.
    pub fn infra(&self) -> OxideInfra {
        OxideInfra::new(
            Arc::clone(&self.parts.cluster),
            Arc::clone(&self.parts.sizes),
            self.status.subscribe(),
            Arc::clone(&self.changed),
        )
    }

    /// Keeps the cluster as it is to be, until the future is dropped. A round that fails is told and tried again; what only a
    /// person can mend ends it.
    ///
    /// # Errors
    /// It returns with the [`OxideError`] that [is for a person](OxideError::is_for_a_person).
    pub async fn run(mut self) -> OxideError {
        loop {
            if let Err(error) = self.settle().await {
                return error;
            }
            self.rest(self.parts.limits.look).await;
        }
    }

    /// Runs until all is as it should be.
    ///
    /// # Errors
    /// [`OxideError`] where [it is for a person](OxideError::is_for_a_person).
    pub async fn settle(&mut self) -> Result<(), OxideError> {
        let poll = Backoff { first: self.parts.limits.poll, most: self.parts.limits.poll * 8 };
        let (mut idle, mut failures) = (0_u32, 0_u32);
        loop {
            let wait = match self.round(Instant::now()).await {
                Ok(Round { settled: true, .. }) => return Ok(()),
                Ok(Round { steps, .. }) => {
                    failures = 0;
                    idle = if steps == 0 { idle.saturating_add(1) } else { 0 };
                    poll.wait(idle)
                }
                Err(RoundError::Rack(error)) if error.is_for_a_person() => return Err(error),
                Err(_) => {
                    failures = failures.saturating_add(1);
                    self.parts.limits.again.wait(failures)
                }
            };
            self.rest(wait).await;
        }
    }

    async fn rest(&mut self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.changed.notified() => {}
            (step, outcome) = self.imports.next() => self.took(step, &outcome, Instant::now()),
        }
    }

    /// What would be done, from now until all is as it should be, if everything went well; nothing is changed.
    ///
    /// # Errors
    /// [`RoundError`].
    pub async fn foresee(&self) -> Result<Foreseen, RoundError> {
        let look = self.look().await?;
        Ok(foresee::foresee(&self.parts.cluster, look, &self.parts.limits))
    }

    /// Looks once, plans, and takes all steps that can be taken; `now` is what time limits are measured by.
    ///
    /// # Errors
    /// [`RoundError`]; then nothing was done.
    pub async fn round(&mut self, now: Instant) -> Result<Round, RoundError> {
        let look = match self.look_to_act().await {
            Ok(look) => look,
            Err(error) => {
                let reason = chain(&error);
                self.told.problems(self.parts.progress.as_ref(), vec![reason.clone()]);
                self.status.send_modify(|status| status.unseen = Some(reason));
                return Err(error);
            }
        };
        while let Some((step, outcome)) = self.imports.next().now_or_never() {
            self.took(step, &outcome, now);
        }
        self.history.observe(&self.parts.cluster, &look.seen, &look.nodes, now);
        let plan = self.plan(&look, now);
        for (instance, part, why) in &plan.condemned {
            self.history.condemn(*instance, part.clone(), why.clone(), now);
        }
        self.history.retain(&plan.wanted());
        let status = crate::status::status(&self.view(&look, now), &plan);
        self.status.send_if_modified(|old| {
            let new = *old != status;
            *old = status;
            new
        });
        self.told.plan(self.parts.progress.as_ref(), &plan);
        let settled = plan.is_settled();
        let steps = plan.steps.len();
        self.take(plan.steps, &look, now).await;
        Ok(Round { settled, steps })
    }

    /// Where there is nothing to act in, that is an error.
    async fn look_to_act(&self) -> Result<Look, RoundError> {
        let look = self.look().await?;
        let spec = self.parts.cluster.spec();
        if !look.seen.project && spec.missing_project == MissingProject::Refuse {
            return Err(self.parts.rack.no_project(&spec.project).into());
        }
        Ok(look)
    }

    async fn look(&self) -> Result<Look, RoundError> {
        let seen = observe(&self.parts.rack, &self.parts.cluster).await?;
        let nodes = self.parts.nodes.nodes().await;
        let nodes =
            nodes.inspect_err(|error| tracing::debug!(error = chain(error), "the cluster does not answer")).ok();
        let has_servers = seen.machines(&self.parts.cluster, &Part::Servers).next().is_some();
        // Before there is a server there is nobody to ask: who answers all the same has its servers elsewhere.
        let nodes = nodes.filter(|nodes| has_servers || self.has_ready_server(nodes));
        let sizes = match self.parts.sizes.load().await {
            Ok(sizes) => sizes,
            // The cluster may be who keeps them. Its servers are helped all the same, or it would never answer again; of the
            // workers there shall be as many as there are.
            Err(error) if has_servers && nodes.is_none() => {
                tracing::debug!(error = chain(error.as_ref()), "nobody says how many machines there shall be");
                self.as_many_as_there_are(&seen)
            }
            Err(error) => return Err(RoundError::Sizes(error)),
        };
        Ok(Look { seen, nodes, sizes })
    }

    fn has_ready_server(&self, nodes: &BTreeMap<NodeName, NodeStatus>) -> bool {
        let servers = self.parts.cluster.machines(&Part::Servers);
        let prefix = servers.map(|servers| &servers.spec().prefix);
        let is_server = |node: &NodeName| prefix.is_some_and(|prefix| MachineName::parse(prefix, &node.0).is_some());
        nodes.iter().any(|(node, status)| status.ready && is_server(node))
    }

    fn as_many_as_there_are(&self, seen: &Seen) -> Sizes {
        let cluster = &self.parts.cluster;
        let there = |pool: &PoolName| {
            let machines = seen.machines(cluster, &Part::Pool(pool.clone())).count();
            u32::try_from(machines).unwrap_or(u32::MAX)
        };
        cluster.pools().keys().map(|pool| (pool.clone(), there(pool))).collect()
    }

    fn view<'a>(&'a self, look: &'a Look, now: Instant) -> View<'a> {
        View {
            cluster: &self.parts.cluster,
            sizes: &look.sizes,
            seen: &look.seen,
            nodes: &look.nodes,
            history: &self.history,
            limits: &self.parts.limits,
            now,
        }
    }

    fn plan(&self, look: &Look, now: Instant) -> Plan {
        plan(&self.view(look, now))
    }

    async fn take(&mut self, steps: Vec<Step>, look: &Look, now: Instant) {
        let parts = Arc::clone(&self.parts);
        let hands = hands(&parts, &look.seen);
        let (imports, steps): (Vec<_>, Vec<_>) =
            steps.into_iter().partition(|step| matches!(step, Step::WriteImage { .. }));
        for step in imports {
            if let Step::WriteImage { disk, .. } = &step {
                self.history.writes(*disk);
            }
            parts.progress.tell(&Event::Doing(step.clone()));
            self.imports.begin(Arc::clone(&parts), step);
        }
        let taken = stream::iter(steps).map(|step| async move {
            hands.progress.tell(&Event::Doing(step.clone()));
            let outcome = hands.take(&step).await;
            (step, outcome)
        });
        let mut taken = taken.buffer_unordered(parts.limits.parallel.steps.max(1));
        while let Some((step, outcome)) = taken.next().await {
            self.took(step, &outcome, now);
        }
    }

    fn took(&mut self, step: Step, outcome: &Result<Outcome, StepError>, now: Instant) {
        let failure = outcome.as_ref().err().map(|error| Failure {
            reason: chain(error),
            for_want_of_room: matches!(error, StepError::Rack(OxideError::Quota { .. })),
        });
        if let (Step::Drain(node), Ok(Outcome::Done)) = (&step, outcome) {
            self.history.drained(node.clone());
        }
        self.history.took(&step, failure.clone(), &self.parts.limits, now);
        if matches!(outcome, Ok(Outcome::Draining)) {
            return;
        }
        self.parts.progress.tell(&match failure {
            Some(failure) => Event::Failed { step, reason: failure.reason },
            None => Event::Done(step),
        });
    }
}

fn hands<'a>(parts: &'a Parts, seen: &'a Seen) -> Hands<'a> {
    Hands {
        rack: &parts.rack,
        cluster: &parts.cluster,
        setup: &parts.setup,
        nodes: parts.nodes.as_ref(),
        limits: &parts.limits,
        progress: parts.progress.as_ref(),
        seen,
    }
}
