//! Where the nodes' storage managers are, for those who call them.

use clowder_core::NodeName;
use clowder_k8s::StorageManagers;
use clowder_storage::client::Directory;
use std::sync::Arc;

/// The storage managers that are listened to.
pub(crate) struct ManagerPods(pub(crate) Arc<StorageManagers>);

impl Directory for ManagerPods {
    fn manager(&self, node: &NodeName) -> Option<String> {
        self.0.base(node)
    }
}
