//! The nodes of the cluster, for the reconcile of its machines.

use super::access::Access;
use super::pods::{is_evictable, is_leaving, node};
use async_trait::async_trait;
use clowder_core::NodeName;
use clowder_k8s::call::{CallError, call, if_there, list_all};
use clowder_oxide::{ClusterError, ClusterNodes, Drained, NodeStatus};
use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many Pods are evicted at the same time.
const EVICTIONS: usize = 8;

/// The nodes as the API server has them.
pub(crate) struct KubeNodes(pub(crate) Arc<Access>);

/// Says what a call was about.
fn about<'a>(what: &'a str, node: &'a NodeName) -> impl FnOnce(CallError) -> ClusterError + 'a {
    move |source| ClusterError { what: format!("{what} node {node}"), source: source.into() }
}

#[async_trait]
impl ClusterNodes for KubeNodes {
    async fn nodes(&self) -> Result<BTreeMap<NodeName, NodeStatus>, ClusterError> {
        self.list()
            .await
            .map_err(|source| ClusterError { what: "call to list nodes".to_owned(), source: source.into() })
    }

    async fn cordon(&self, node: &NodeName) -> Result<(), ClusterError> {
        let cordon = async {
            let patch = Patch::Merge(json!({ "spec": { "unschedulable": true } }));
            let nodes: Api<Node> = Api::all(self.0.client()?);
            if_there(call(nodes.patch(&node.0, &PatchParams::default(), &patch)).await)
        };
        cordon.await.map(drop).map_err(about("call to cordon", node))
    }

    async fn drain(&self, node: &NodeName) -> Result<Drained, ClusterError> {
        self.evict(node).await.map_err(about("call to drain", node))
    }

    async fn remove(&self, node: &NodeName) -> Result<(), ClusterError> {
        let remove = async {
            let nodes: Api<Node> = Api::all(self.0.client()?);
            if_there(call(nodes.delete(&node.0, &DeleteParams::background())).await)
        };
        remove.await.map(drop).map_err(about("call to delete", node))
    }
}

impl KubeNodes {
    async fn list(&self) -> Result<BTreeMap<NodeName, NodeStatus>, CallError> {
        let client = self.0.client()?;
        let nodes = list_all(&Api::<Node>::all(client.clone()), ListParams::default()).await?;
        let pods = list_all(&Api::<Pod>::all(client), ListParams::default()).await?;
        Ok(statuses(&nodes, &pods))
    }

    async fn evict(&self, name: &NodeName) -> Result<Drained, CallError> {
        let client = self.0.client()?;
        let on_it = ListParams::default().fields(&format!("spec.nodeName={name}"));
        let mut pods = list_all(&Api::<Pod>::all(client.clone()), on_it).await?;
        pods.retain(is_evictable);
        let count = u32::try_from(pods.len()).unwrap_or(u32::MAX);
        let staying = pods.into_iter().filter(|pod| !is_leaving(pod));
        let evictions = staying.map(|pod| {
            let metadata = pod.metadata;
            let api: Api<Pod> = Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or("default"));
            async move { if_there(call(api.evict(&metadata.name.unwrap_or_default(), &EvictParams::default())).await) }
        });
        let mut evictions = stream::iter(evictions).buffer_unordered(EVICTIONS);
        while let Some(outcome) = evictions.next().await {
            match outcome {
                // A disruption budget: the Pod goes once another one serves, and is asked again at the next step.
                Err(error) if error.is_later() => {}
                outcome => drop(outcome?),
            }
        }
        Ok(if count == 0 { Drained::Empty } else { Drained::Waiting { pods: count } })
    }
}

fn statuses(nodes: &[Node], pods: &[Pod]) -> BTreeMap<NodeName, NodeStatus> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for name in pods.iter().filter(|pod| is_evictable(pod)).filter_map(node) {
        *counts.entry(name).or_default() += 1;
    }
    let statuses = nodes.iter().filter_map(|node| {
        let name = node.metadata.name.as_deref()?;
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions.into_iter().flatten().any(|found| found.type_ == "Ready" && found.status == "True");
        let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
        let pods = counts.get(name).copied().unwrap_or_default();
        Some((NodeName(name.to_owned()), NodeStatus { ready, cordoned, pods }))
    });
    statuses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_told_with_what_can_be_moved_from_it() {
        let node = |name: &str, spec, ready: &str| {
            let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
            serde_json::from_value::<Node>(json!({"metadata": {"name": name}, "spec": spec, "status": status})).unwrap()
        };
        let pod = |node: &str, phase: &str| {
            let pod = json!({"metadata": {}, "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}});
            serde_json::from_value::<Pod>(pod).unwrap()
        };
        let nodes = [node("a", json!({}), "True"), node("b", json!({"unschedulable": true}), "Unknown")];
        let pods = [pod("a", "Running"), pod("a", "Pending"), pod("a", "Succeeded"), pod("gone", "Running")];
        let expected = [
            ("a".into(), NodeStatus { ready: true, cordoned: false, pods: 2 }),
            ("b".into(), NodeStatus { ready: false, cordoned: true, pods: 0 }),
        ];
        assert_eq!(statuses(&nodes, &pods), BTreeMap::from(expected));
    }
}
