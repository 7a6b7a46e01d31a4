//! What the controller counts: rounds of the loop, its actions, and its calls of the API server.

mod api;
mod measured;

pub(crate) use api::CountCalls;
pub(crate) use measured::{MeasuredBackend, MeasuredPlacement};

use api::Call;
use measured::Applied;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// All counters of a controller. Clones are the same.
#[derive(Clone)]
pub(crate) struct Metrics {
    rounds: Counter,
    planning: Histogram,
    actions: Family<Applied, Counter>,
    calls: Family<Call, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let planning = Histogram::new([0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]);
        Self { rounds: Counter::default(), planning, actions: Family::default(), calls: Family::default() }
    }
}

impl Metrics {
    /// Adds them to what is told.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("rounds", "Rounds of the reconcile loop", self.rounds.clone());
        registry.register("plan_seconds", "Seconds that it takes to place all models", self.planning.clone());
        registry.register("actions", "Actions on workers, by what became of them", self.actions.clone());
        registry.register("api_requests", "Calls of the API server, by verb and status", self.calls.clone());
    }
}
