//! What the Pods of an installation's workers have in common.

use std::time::Duration;

/// What the Pods of an installation's workers have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerTemplate {
    /// The namespace of the installation: workers run in it, and read its Secrets.
    pub namespace: String,
    /// The container image with Clowder's programs.
    pub image: String,
    /// The service account of workers; they get no token of it.
    pub service_account: String,
    /// The Secret with the keys `worker` (what requests to a worker bear) and `storage` (what requests to a storage
    /// manager bear).
    pub token_secret: String,
    /// Base URL of the storage manager of the node that asks.
    pub storage_manager: String,
    /// The folder of a node where the storage manager keeps models; workers see it at the same path.
    pub host_folder: String,
    /// How long a worker may take to finish what it has, once told to end; whole seconds.
    pub grace: Duration,
    /// The priority class of workers.
    pub priority_class: Option<String>,
}

impl WorkerTemplate {
    /// Workers from this image, everything else as an installation has it by default.
    pub fn new(namespace: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            image: image.into(),
            service_account: "clowder-worker".to_owned(),
            token_secret: "clowder-tokens".to_owned(),
            storage_manager: "http://clowder-storage:8050".to_owned(),
            host_folder: "/var/lib/clowder".to_owned(),
            grace: Duration::from_secs(600),
            priority_class: None,
        }
    }
}
