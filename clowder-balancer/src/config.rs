//! What a gateway is told at its start.

use crate::policy::PolicyKind;
use clowder_core::Secret;
use std::time::Duration;

/// The settings of a [`Gateway`](crate::Gateway). Plain data: where it comes from is the program's affair.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// Which worker gets a request.
    pub policy: PolicyKind,
    /// How much is taken at the same time.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Who may ask for what.
    pub auth: Auth,
}

/// Bounds of everything that could grow.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Requests forwarded to workers at the same time.
    pub in_flight: usize,
    /// Requests that wait to be forwarded.
    pub queued: usize,
    /// Requests of one model that wait for a worker of it, so that a model that is not ready cannot fill the queue.
    pub queued_per_model: usize,
    /// Requests given to a worker at the same time, per slot of it: above 1 its next request is already there when one
    /// ends.
    pub in_flight_per_slot: u32,
    /// How often a request is sent before it fails, where a worker broke off without having answered. A connection that
    /// is refused does not count: nothing was sent.
    pub attempts: u32,
    /// Connections of clients.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 32 << 20,
            in_flight: 1024,
            queued: 1024,
            queued_per_model: 512,
            in_flight_per_slot: 2,
            attempts: 3,
            connections: 8192,
        }
    }
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// A request's wait for a worker: for its model to become ready, for a slot, for a worker's restart.
    pub worker_wait: Duration,
    /// How long a streaming client that asked for it is not told what its request waits for, at first and from then on.
    pub progress: Duration,
    /// Connecting to a worker.
    pub connect: Duration,
    /// A worker's silence in the middle of an answer, and before it: a long prompt is evaluated in silence.
    pub idle: Duration,
    /// Reading a request's body.
    pub body_read: Duration,
    /// Reading a request's headers.
    pub header_read: Duration,
    /// How long a client may take none of its answer's bytes: one that does not read holds a worker's slot.
    pub client_stall: Duration,
    /// How long a worker that failed is left alone at first; doubles with each failure in a row, up to 32 times this.
    pub backoff: Duration,
    /// How long requests in flight may go on after the gateway was told to stop.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            worker_wait: Duration::from_secs(30),
            progress: Duration::from_secs(2),
            connect: Duration::from_secs(2),
            idle: Duration::from_secs(600),
            body_read: Duration::from_secs(30),
            header_read: Duration::from_secs(15),
            client_stall: Duration::from_secs(60),
            backoff: Duration::from_millis(100),
            drain: Duration::from_secs(30),
        }
    }
}

/// Who may ask for what. No secret has a default: what is not set is closed (the operational API) or open on loopback
/// alone (`/v1`, see [`check_exposure`](crate::check_exposure)).
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// Opens `/api/v1` (and `/v1`). `None` switches the operational API off.
    pub admin_token: Option<Secret>,
    /// Each opens `/v1`. None at all leaves it open, which is for loopback addresses only.
    pub api_keys: Vec<Secret>,
    /// Host names, besides loopback names and addresses, that a gateway without API keys answers to. A page of another
    /// host could otherwise have a browser on this machine use it.
    pub allowed_hosts: Vec<String>,
    /// What workers ask for before they answer; every worker is shown it. `None` is for workers on loopback.
    pub worker_key: Option<Secret>,
}
