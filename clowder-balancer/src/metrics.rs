//! What the gateway counts, in Prometheus' text format.

use crate::trial::Group;
use clowder_core::demand::Demand;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// Models with a label of their own, over the life of the gateway; those beyond share one.
const MAX_MODELS: usize = 256;
const UNKNOWN: &str = "unknown";
const OTHER: &str = "other";
/// The group of a request that came to no worker.
const NO_GROUP: &str = "none";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupLabels {
    model: String,
    group: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    model: String,
    outcome: String,
    group: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    cause: &'static str,
    model: String,
    group: &'static str,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With an answer of this status, whole.
    Answered(u16),
    /// Its worker broke off after the first byte.
    Broken,
    /// Its client went away.
    Disconnected,
}

impl Outcome {
    fn label(self) -> String {
        match self {
            Self::Answered(status) => status.to_string(),
            Self::Broken => "broken".to_owned(),
            Self::Disconnected => "disconnected".to_owned(),
        }
    }

    fn is_error(self) -> bool {
        matches!(self, Self::Broken | Self::Answered(500..))
    }
}

type HistogramFamily = Family<GroupLabels, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

/// All counters of one gateway.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    duration: HistogramFamily,
    first_byte: HistogramFamily,
    retries: Family<RetryLabels, Counter>,
    in_flight: Gauge,
    queued: Gauge,
    workers_ready: Gauge,
    labelled: Mutex<HashSet<String>>,
    requests_total: AtomicU64,
    errors_total: AtomicU64,
}

/// Levels read when the metrics are.
pub(crate) struct Levels {
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
    pub(crate) workers_ready: usize,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("clowder_gateway");
        let requests = Family::default();
        let duration = Family::new_with_constructor(seconds as fn() -> Histogram);
        let first_byte = Family::new_with_constructor(seconds as fn() -> Histogram);
        let retries = Family::default();
        let (in_flight, queued, workers_ready) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register(
            "requests",
            "Requests of /v1, by model, outcome (HTTP status, broken, disconnected) and group of workers (own, trial, none)",
            requests.clone(),
        );
        registry.register("request_duration_seconds", "From a request's arrival to its end", duration.clone());
        registry.register(
            "time_to_first_byte_seconds",
            "From a request's arrival to the first byte of its answer; TTFT where it is streamed",
            first_byte.clone(),
        );
        registry.register(
            "retries",
            "Requests sent to another worker, by what happened to the first, their model and the first one's group",
            retries.clone(),
        );
        registry.register("in_flight", "Requests forwarded to workers", in_flight.clone());
        registry.register("queued", "Requests that wait to be forwarded", queued.clone());
        registry.register("workers_ready", "Workers that take requests", workers_ready.clone());
        Self {
            registry,
            requests,
            duration,
            first_byte,
            retries,
            in_flight,
            queued,
            workers_ready,
            labelled: Mutex::default(),
            requests_total: AtomicU64::new(0),
            errors_total: AtomicU64::new(0),
        }
    }

    pub(crate) fn requests_total(&self) -> u64 {
        self.requests_total.load(Ordering::Relaxed)
    }

    pub(crate) fn errors_total(&self) -> u64 {
        self.errors_total.load(Ordering::Relaxed)
    }

    pub(crate) fn encode(&self, levels: &Levels) -> String {
        let number = |level: usize| i64::try_from(level).unwrap_or(i64::MAX);
        self.in_flight.set(number(levels.in_flight));
        self.queued.set(number(levels.queued));
        self.workers_ready.set(number(levels.workers_ready));
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut page, &self.registry);
        page
    }

    /// The label of a desired model; bounded, however many come and go.
    fn label(&self, model: &str) -> String {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        if labelled.len() < MAX_MODELS && !labelled.contains(model) {
            labelled.insert(model.to_owned());
        }
        if labelled.contains(model) { model.to_owned() } else { OTHER.to_owned() }
    }
}

/// One request's entry, made when it arrives and written when it is dropped: no end is missed.
pub(crate) struct Record {
    metrics: Arc<Metrics>,
    started: Instant,
    model: String,
    group: Option<Group>,
    outcome: Outcome,
    /// What it adds to its model's demand.
    demand: Option<Demand>,
}

impl Record {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            started: Instant::now(),
            model: UNKNOWN.to_owned(),
            group: None,
            outcome: Outcome::Disconnected,
            demand: None,
        }
    }

    /// It is a request of this model, which is a desired one, and counts as demand for it.
    pub(crate) fn of_model(&mut self, model: &str, demand: Option<Demand>) {
        self.model = self.metrics.label(model);
        self.demand = demand;
    }

    /// It goes to a worker of this group.
    pub(crate) fn of_group(&mut self, group: Group) {
        self.group = Some(group);
    }

    fn labels(&self) -> GroupLabels {
        GroupLabels { model: self.model.clone(), group: self.group.map_or(NO_GROUP, Group::label) }
    }

    /// It is about to go to another worker, for what happened to it at this one.
    pub(crate) fn retry(&self, cause: &'static str) {
        let GroupLabels { model, group } = self.labels();
        self.metrics.retries.get_or_create(&RetryLabels { cause, model, group }).inc();
    }

    pub(crate) fn first_byte(&self) {
        self.metrics.first_byte.get_or_create(&self.labels()).observe(self.started.elapsed().as_secs_f64());
    }

    /// How it ends, if nothing else happens.
    pub(crate) fn outcome(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.metrics.requests_total.fetch_add(1, Ordering::Relaxed);
        if self.outcome.is_error() {
            self.metrics.errors_total.fetch_add(1, Ordering::Relaxed);
        }
        let labels = self.labels();
        self.metrics.duration.get_or_create(&labels).observe(took.as_secs_f64());
        let GroupLabels { model, group } = labels;
        let labels = RequestLabels { model, outcome: self.outcome.label(), group };
        self.metrics.requests.get_or_create(&labels).inc();
        tracing::debug!(model = %self.model, outcome = %labels.outcome, ms = took.as_millis(), "request ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded() {
        let metrics = Metrics::new();
        for n in 0..2 * MAX_MODELS {
            metrics.label(&format!("m{n}"));
        }
        assert_eq!(metrics.label("m0"), "m0");
        assert_eq!(metrics.label("another"), OTHER);
    }

    #[test]
    fn a_record_is_written_once_however_it_ends() {
        let metrics = Arc::new(Metrics::new());
        drop(Record::new(metrics.clone()));
        let mut record = Record::new(metrics.clone());
        record.of_model("kitten", None);
        record.of_group(Group::Trial);
        record.retry("broken");
        record.outcome(Outcome::Answered(503));
        drop(record);
        let page = metrics.encode(&Levels { in_flight: 1, queued: 2, workers_ready: 3 });
        assert!(
            page.contains(r#"clowder_gateway_requests_total{model="unknown",outcome="disconnected",group="none"} 1"#),
            "{page}"
        );
        assert!(
            page.contains(r#"clowder_gateway_requests_total{model="kitten",outcome="503",group="trial"} 1"#),
            "{page}"
        );
        let retries = r#"clowder_gateway_retries_total{cause="broken",model="kitten",group="trial"} 1"#;
        assert!(page.contains(retries), "{page}");
        assert!(page.contains("clowder_gateway_in_flight 1"), "{page}");
        assert_eq!((metrics.requests_total(), metrics.errors_total()), (2, 1));
    }
}
