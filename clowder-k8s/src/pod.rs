//! The Pod of a worker, as a function of what shall run and of how this installation runs it.

mod args;
mod build;
mod template;

pub use template::WorkerTemplate;

pub(crate) use build::{FETCH_CONTAINER, PORT, WORKER_CONTAINER, credentials_secret as worker_secret, pod};

use clowder_core::model::Revision;
use clowder_core::plan::StartWorker;
use clowder_core::{ModelName, NodeName};
use serde::{Deserialize, Serialize};

/// What a Pod's [annotation](crate::names::WORKER_ANNOTATION) says of its worker: all that cannot be seen otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerNote {
    /// The model that it serves.
    pub model: ModelName,
    /// Which way of running that model.
    pub revision: Revision,
    /// The node that it was placed on.
    pub node: NodeName,
    /// Bytes of memory that it was promised.
    pub memory: u64,
    /// Requests that it generates at the same time.
    pub slots: u32,
    /// Tokens of context of one request, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
}

impl From<&StartWorker> for WorkerNote {
    fn from(start: &StartWorker) -> Self {
        Self {
            model: start.spec.name.clone(),
            revision: start.spec.revision(),
            node: start.node.clone(),
            memory: start.memory,
            slots: start.spec.engine.slots(),
            context: start.spec.engine.context,
        }
    }
}
