//! How long things may take.

use clowder_core::reconcile::Backoff;
use std::time::Duration;

/// What becomes of a node that is not empty within its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainPolicy {
    /// It goes with what is on it.
    #[default]
    Force,
    /// It stays until it is empty, and the status says so.
    Wait,
}

/// How long things may take before the next harder remedy, and how often a remedy is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until the first server's node is ready.
    pub cluster_init: Duration,
    /// Until any other machine's node is ready after its instance runs, and how long a node may be unready.
    pub join: Duration,
    /// Until an instance runs after it was told to start, or leaves another passing state.
    pub transition: Duration,
    /// Until an instance has stopped after it was told to.
    pub stop: Duration,
    /// Until a node that is to go is empty.
    pub drain: Duration,
    /// What becomes of it then.
    pub drain_policy: DrainPolicy,
    /// How long the API server's address stays with a server that is not ready.
    pub failover: Duration,
    /// Waits before a step that has not helped is taken again.
    pub again: Backoff,
    /// How often a step is taken before it counts as a failure that a person should know of.
    pub tries: u32,
    /// How many machines of the servers or of a pool are replaced before all of them are ready for once; as many as there
    /// shall be, where those are more.
    pub replacements: u32,
    /// How many calls are made to the rack at once, and how many blocks of an image are written at once.
    pub parallel: Parallel,
    /// Between two looks at a cluster where nothing is to be done.
    pub look: Duration,
    /// Between two looks at a cluster where something is under way; up to eight times as long while nothing can be done.
    pub poll: Duration,
}

/// How much is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// Steps of a plan.
    pub steps: usize,
    /// Blocks of an image.
    pub blocks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            cluster_init: minutes(5),
            join: minutes(10),
            transition: minutes(5),
            stop: minutes(3),
            drain: minutes(10),
            drain_policy: DrainPolicy::default(),
            failover: Duration::from_secs(40),
            again: Backoff { first: Duration::from_secs(5), most: minutes(5) },
            tries: 5,
            replacements: 5,
            parallel: Parallel { steps: 8, blocks: 1 },
            look: minutes(5),
            poll: Duration::from_secs(5),
        }
    }
}
