//! A worker: one process (or Pod) that serves one model.

use crate::model::{ModelName, Revision};
use crate::node::NodeName;
use crate::store::FetchProgress;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Names a worker: `SLUG-REVISION-ORDINAL`, a DNS label, the same in every observation of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerId(String);

/// A string that is no [`WorkerId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("worker name {0:?} is not usable: take 1 to 63 lower-case letters, digits and '-'")]
pub struct InvalidWorkerId(pub String);

impl WorkerId {
    /// The `ordinal`th worker of a model's revision.
    pub fn nth(model: &ModelName, revision: Revision, ordinal: u32) -> Self {
        Self(format!("{}-{revision}-{ordinal}", model.slug()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkerId {
    type Err = InvalidWorkerId;

    fn from_str(text: &str) -> Result<Self, InvalidWorkerId> {
        let spelled_well = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if spelled_well && !text.starts_with('-') && (1..=63).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWorkerId(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for WorkerId {
    type Error = InvalidWorkerId;

    fn try_from(text: String) -> Result<Self, InvalidWorkerId> {
        text.parse()
    }
}

impl From<WorkerId> for String {
    fn from(id: WorkerId) -> Self {
        id.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where a worker stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorkerState {
    /// Accepted, nothing done yet.
    Pending,
    /// Its model is on the way to its node.
    Fetching(FetchProgress),
    /// The process runs and loads the model.
    Starting,
    /// Serves requests.
    Ready,
    /// Finishes what it has, takes nothing new.
    Draining,
    /// It failed and is tried again at the given time.
    Backoff {
        /// What went wrong, for a person.
        reason: String,
        /// When it is tried again, milliseconds since the Unix epoch.
        retry_at_ms: u64,
    },
    /// It failed in a way that trying again does not mend; it waits for another spec.
    Failed {
        /// What went wrong and what to do, for a person.
        reason: String,
    },
    /// It is gone; the backend forgets it soon.
    Stopped,
}

impl WorkerState {
    /// Whether it counts towards the replicas of its model: it serves, or is on its way to it.
    pub fn is_live(&self) -> bool {
        !matches!(self, Self::Draining | Self::Stopped)
    }

    /// The phase in one word.
    pub fn phase(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetching(_) => "fetching",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Backoff { .. } => "backoff",
            Self::Failed { .. } => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Why it does not serve, where there is something to say.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Backoff { reason, .. } | Self::Failed { reason } => Some(reason),
            _ => None,
        }
    }
}

/// The end of a worker's earlier process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastExit {
    /// What ended it, for a person: `killed by signal 9 (SIGKILL)`, `exit code 3: model not readable`.
    pub reason: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A worker as observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its name.
    pub id: WorkerId,
    /// The model it serves.
    pub model: ModelName,
    /// Which way of running that model.
    pub revision: Revision,
    /// Where it runs.
    pub node: NodeName,
    /// Where it stands.
    pub state: WorkerState,
    /// Base URL of its OpenAI API (`http://127.0.0.1:41234`), once it listens.
    pub endpoint: Option<String>,
    /// Bytes of memory it was promised.
    pub memory: u64,
    /// Requests it generates at the same time.
    pub slots: u32,
    /// Tokens of context of one request; 0 until the model is loaded.
    pub context: u32,
    /// How often its process was started again.
    pub restarts: u32,
    /// How its last process ended, if one did.
    pub last_exit: Option<LastExit>,
    /// Process id, where it is a process of this machine.
    pub pid: Option<u32>,
    /// Whether its backend found no room for it on its node: others than workers may have what the node offers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Whether its memory is kept for it until it is stopped, though it failed for good or is gone: a Pod has its share of a node
    /// for as long as it is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_memory: bool,
}

impl Worker {
    /// A pending worker of revision 0.
    pub fn new(id: WorkerId, model: ModelName, node: NodeName) -> Self {
        Self {
            id,
            model,
            revision: Revision(0),
            node,
            state: WorkerState::Pending,
            endpoint: None,
            memory: 0,
            slots: 1,
            context: 0,
            restarts: 0,
            last_exit: None,
            pid: None,
            refused: false,
            keeps_memory: false,
        }
    }

    /// Whether its memory is in use, promised or kept.
    pub fn holds_memory(&self) -> bool {
        self.keeps_memory || !matches!(self.state, WorkerState::Failed { .. } | WorkerState::Stopped)
    }

    /// Where requests go, if it serves.
    pub fn serving(&self) -> Option<&str> {
        match self.state {
            WorkerState::Ready => self.endpoint.as_deref(),
            _ => None,
        }
    }
}
