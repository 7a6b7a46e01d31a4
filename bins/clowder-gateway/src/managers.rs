//! Where the nodes' storage managers are.

use clowder_core::NodeName;
use clowder_storage::client::Directory;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client};
use tokio_util::task::AbortOnDropHandle;

/// The Pods of the storage managers' DaemonSet.
const SELECTOR: &str = "app.kubernetes.io/name=clowder-storage";
/// The port they listen on.
const PORT: u16 = 8050;

/// The storage managers' Pods, followed by watch.
pub(crate) struct ManagerPods {
    pods: reflector::Store<Pod>,
    _follower: AbortOnDropHandle<()>,
}

impl ManagerPods {
    /// Those of a namespace, from now on.
    pub(crate) fn follow(client: Client, namespace: &str) -> Self {
        let (pods, writer) = reflector::store();
        let config = watcher::Config::default().labels(SELECTOR);
        let events = watcher(Api::<Pod>::namespaced(client, namespace), config).default_backoff();
        let following = events.reflect(writer).map_err(|error| {
            tracing::warn!(%error, "the storage managers' Pods are not followed at the moment");
        });
        let following = following.for_each(|_| std::future::ready(()));
        Self { pods, _follower: AbortOnDropHandle::new(tokio::spawn(following)) }
    }
}

impl Directory for ManagerPods {
    fn manager(&self, node: &NodeName) -> Option<String> {
        let on_node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node.as_str());
        let pod = self.pods.find(on_node)?;
        let address = pod.status.as_ref()?.pod_ip.as_deref()?;
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        Some(format!("http://{host}:{PORT}"))
    }
}
