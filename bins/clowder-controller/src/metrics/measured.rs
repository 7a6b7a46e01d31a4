//! The loop, measured by what it works with: it asks for one plan a round, and applies its actions to one backend.

use super::Metrics;
use async_trait::async_trait;
use clowder_core::backend::LogOptions;
use clowder_core::placement::Wanted;
use clowder_core::{Action, Backend, BackendError, BoxStream, Inventory, Placement, Plan, WorkerId};
use prometheus_client::encoding::EncodeLabelSet;
use std::sync::Arc;
use std::time::Instant;

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Applied {
    action: &'static str,
    outcome: &'static str,
}

/// A placement whose plans are counted and timed.
pub(crate) struct MeasuredPlacement<P> {
    placement: P,
    metrics: Metrics,
}

impl<P> MeasuredPlacement<P> {
    /// `placement`, measured.
    pub(crate) fn new(placement: P, metrics: &Metrics) -> Self {
        Self { placement, metrics: metrics.clone() }
    }
}

impl<P: Placement> Placement for MeasuredPlacement<P> {
    fn plan(&self, wanted: &[Wanted], inventory: &Inventory) -> Plan {
        let began = Instant::now();
        let plan = self.placement.plan(wanted, inventory);
        self.metrics.planning.observe(began.elapsed().as_secs_f64());
        self.metrics.rounds.inc();
        plan
    }
}

/// A backend whose actions are counted.
pub(crate) struct MeasuredBackend {
    backend: Arc<dyn Backend>,
    metrics: Metrics,
}

impl MeasuredBackend {
    /// `backend`, measured.
    pub(crate) fn new(backend: Arc<dyn Backend>, metrics: &Metrics) -> Self {
        Self { backend, metrics: metrics.clone() }
    }
}

#[async_trait]
impl Backend for MeasuredBackend {
    async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
        self.backend.inventory().await
    }

    async fn apply(&self, action: &Action) -> Result<(), BackendError> {
        let applied = self.backend.apply(action).await;
        let outcome = match &applied {
            Ok(()) => "applied",
            // It is tried again when what it waits for is gone.
            Err(BackendError::Busy { .. }) => "busy",
            Err(_) => "failed",
        };
        let action = match action {
            Action::Start(_) => "start",
            Action::Stop { .. } => "stop",
            _ => "other",
        };
        self.metrics.actions.get_or_create(&Applied { action, outcome }).inc();
        applied
    }

    fn watch(&self) -> BoxStream<Arc<Inventory>> {
        self.backend.watch()
    }

    async fn logs(
        &self,
        worker: &WorkerId,
        options: LogOptions,
    ) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
        self.backend.logs(worker, options).await
    }
}
