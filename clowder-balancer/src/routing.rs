//! From a request to a worker: in line for the model, then to one of its groups where settings are on trial, then the
//! policy's choice of those that have room.

use crate::directory::{Directory, Lane, Route, Snapshot};
use crate::endpoint::{Endpoint, LoadGuard};
use crate::error::ApiError;
use crate::policy::{Candidate, Fingerprint, RoutingPolicy};
use crate::readiness::{explain, is_hopeless};
use crate::trial::Group;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How soon to ask again for a model that is not ready.
const READY_RETRY: Duration = Duration::from_secs(5);
/// How soon to ask again where all workers are busy.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// A worker, for one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) load: LoadGuard,
    pub(crate) group: Group,
    /// Why this one.
    pub(crate) why: String,
}

/// Gives requests their workers.
pub(crate) struct Router {
    pub(crate) directory: Arc<Directory>,
    pub(crate) policy: Arc<dyn RoutingPolicy>,
}

impl Router {
    /// A worker for a request of this model, waiting for one until `deadline`.
    ///
    /// Requests of a model are served in order of arrival. The first in line watches for room, a restart, or the end of a
    /// worker's time out; the others wait for their turn.
    pub(crate) async fn lease(&self, model: &str, prompt: &Fingerprint, deadline: Instant) -> Result<Lease, ApiError> {
        loop {
            let snapshot = self.directory.load();
            let lane = snapshot.routes.get(model).ok_or_else(|| unknown(model, &snapshot))?.lane.clone();
            let Ok(_place) = lane.places.try_acquire() else {
                let message = format!("Too many requests wait for {model} already: try again later.");
                return Err(ApiError::overloaded("queue_full", message, BUSY_RETRY));
            };
            let Ok(_turn) = timeout_at(deadline, lane.turn.lock()).await else {
                return Err(self.late(model));
            };
            if let Some(lease) = self.first_in_line(model, &lane, prompt, deadline).await? {
                return Ok(lease);
            }
        }
    }

    /// `None` where the model was removed and came back: that is another line.
    async fn first_in_line(
        &self,
        model: &str,
        lane: &Arc<Lane>,
        prompt: &Fingerprint,
        deadline: Instant,
    ) -> Result<Option<Lease>, ApiError> {
        loop {
            let changed = lane.changed.notified();
            let snapshot = self.directory.load();
            let route = snapshot.routes.get(model).ok_or_else(|| unknown(model, &snapshot))?;
            if !Arc::ptr_eq(&route.lane, lane) {
                return Ok(None);
            }
            if let Some(lease) = self.choose(route, prompt) {
                return Ok(Some(lease));
            }
            let status = model.parse().ok().and_then(|name| snapshot.status(&name).cloned());
            if route.serving.is_empty() && status.as_deref().is_some_and(is_hopeless) {
                return Err(self.late(model));
            }
            let next_try = route.serving.iter().filter_map(|endpoint| endpoint.avoided_until()).min();
            tokio::select! {
                () = changed => {}
                () = sleep_until(next_try.map_or(deadline, |at| at.min(deadline))) => {
                    if Instant::now() >= deadline {
                        return Err(self.late(model));
                    }
                }
            }
        }
    }

    fn choose(&self, route: &Route, prompt: &Fingerprint) -> Option<Lease> {
        let is_open = |endpoint: &&Arc<Endpoint>| endpoint.has_room() && endpoint.avoided_until().is_none();
        let mut open: Vec<&Arc<Endpoint>> = route.serving.iter().filter(is_open).collect();
        let group = |endpoint: &Endpoint| route.trial.as_ref().map_or(Group::Own, |trial| trial.group(endpoint.key));
        // Nobody waits for one group while the other has room, be the share what it may: then there is no choice to count.
        let chosen = route.trial.as_ref().filter(|_| {
            let is_of = |wanted: Group| open.iter().any(|endpoint| group(endpoint) == wanted);
            is_of(Group::Own) && is_of(Group::Trial)
        });
        if let Some(trial) = chosen {
            let preferred = trial.prefers(prompt);
            open.retain(|endpoint| group(endpoint) == preferred);
        }
        let first = *open.first()?;
        let candidates: Vec<Candidate> = open
            .iter()
            .map(|endpoint| Candidate { key: endpoint.key, in_flight: endpoint.in_flight(), slots: endpoint.slots })
            .collect();
        let choice = self.policy.choose(prompt, &candidates);
        let endpoint = open.get(choice.index).copied().unwrap_or(first);
        let load = LoadGuard::take(endpoint, route.lane.changed.clone())?;
        let group = group(endpoint);
        if let Some(trial) = chosen {
            trial.sent(prompt, group);
        }
        Some(Lease { load, group, why: choice.why })
    }

    /// What a request of this model waits for, for a person.
    pub(crate) fn waits_for(&self, model: &str) -> String {
        let snapshot = self.directory.load();
        let serves = snapshot.routes.get(model).is_some_and(|route| !route.serving.is_empty());
        match model.parse() {
            Ok(name) if !serves => explain(&name, snapshot.status(&name).map(|status| &**status)),
            _ => format!("a worker of {model} is being waited for"),
        }
    }

    /// The end of a wait, told by what was waited for.
    fn late(&self, model: &str) -> ApiError {
        let snapshot = self.directory.load();
        let Some(route) = snapshot.routes.get(model) else { return unknown(model, &snapshot) };
        if route.serving.iter().any(|endpoint| endpoint.avoided_until().is_none()) {
            let message = format!("All workers of {model} are busy: try again later, or add replicas.");
            return ApiError::overloaded("model_busy", message, BUSY_RETRY);
        }
        if !route.serving.is_empty() {
            let message = format!("The workers of {model} do not answer; they are tried again.");
            return ApiError::unavailable("worker_unreachable", message, READY_RETRY);
        }
        let told = match model.parse() {
            Ok(name) => explain(&name, snapshot.status(&name).map(|status| &**status)),
            Err(_) => format!("{model} is not ready"),
        };
        ApiError::unavailable("model_not_ready", format!("{told}."), READY_RETRY)
    }
}

/// 404 for a model that is not desired.
pub(crate) fn unknown(model: &str, snapshot: &Snapshot) -> ApiError {
    let shown: String = model.chars().take(80).collect();
    let message = format!("There is no model {shown:?}; {}.", snapshot.names());
    ApiError::not_found("model_not_found", message)
}
