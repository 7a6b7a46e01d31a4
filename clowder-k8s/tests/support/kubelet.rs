//! Plays scheduler and kubelet for the Pods of one namespace, as far as the API server can tell: binds them, runs their
//! containers in words, and lets those that are deleted go.

use super::{Cluster, NODE};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// Something that plays kubelet until it is dropped.
pub(crate) struct Kubelet {
    _task: AbortOnDropHandle<()>,
}

impl Kubelet {
    /// All Pods of the namespace run, and are ready at once.
    pub(crate) fn spawn(cluster: &Cluster) -> Self {
        Self { _task: AbortOnDropHandle::new(tokio::spawn(play(cluster.pods()))) }
    }
}

async fn play(pods: Api<Pod>) {
    let events = watcher(pods.clone(), Config::default()).default_backoff().touched_objects();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        if let Ok(pod) = event {
            see_to(&pods, &pod).await;
        }
    }
}

/// The next step of a Pod. A Pod that has changed in the meantime comes again.
async fn see_to(pods: &Api<Pod>, pod: &Pod) {
    let name = pod.metadata.name.as_deref().expect("a Pod has a name");
    let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if pod.metadata.deletion_timestamp.is_some() {
        let _ = pods.delete(name, &DeleteParams::default().grace_period(0)).await;
    } else if !bound {
        bind(pods, name).await;
    } else if phase == Some("Pending") {
        let fetch = container("fetch", ended(0, "Completed", ""), json!({}), true);
        set_status(pods, name, "Running", fetch, container("worker", running(), json!({}), true), true).await;
    }
}

async fn bind(pods: &Api<Pod>, name: &str) {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": name },
        "target": { "apiVersion": "v1", "kind": "Node", "name": NODE },
    });
    let _: Result<Value, _> = pods.create_subresource("binding", name, &PostParams::default(), &binding).await;
}

impl Cluster {
    /// Binds a Pod and says that its containers are in these states: `fetch`, and `worker` with its last state.
    pub(crate) async fn run_as(&self, name: &str, fetch: Value, worker: Value, last: Value) {
        let pods = self.pods();
        bind(&pods, name).await;
        let fetch = container("fetch", fetch, json!({}), false);
        set_status(&pods, name, "Pending", fetch, container("worker", worker, last, false), false).await;
    }
}

async fn set_status(pods: &Api<Pod>, name: &str, phase: &str, fetch: Value, worker: Value, ready: bool) {
    let condition = |kind: &str, holds: bool| json!({ "type": kind, "status": if holds { "True" } else { "False" }, "lastTransitionTime": AT });
    let status = json!({ "status": {
        "phase": phase,
        "podIP": "10.0.0.9",
        "podIPs": [{ "ip": "10.0.0.9" }],
        "startTime": AT,
        "conditions": [condition("PodScheduled", true), condition("Initialized", ready), condition("Ready", ready)],
        "initContainerStatuses": [fetch],
        "containerStatuses": [worker],
    } });
    let _ = pods.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await;
}

const AT: &str = "2026-01-01T00:00:00Z";

fn container(name: &str, state: Value, last: Value, ready: bool) -> Value {
    json!({
        "name": name, "image": "clowder:dev", "imageID": "sha256:0", "containerID": "test://0", "ready": ready,
        "restartCount": i32::from(last != json!({})), "started": ready, "state": state, "lastState": last,
    })
}

/// The state of a container that runs.
pub(crate) fn running() -> Value {
    json!({ "running": { "startedAt": AT } })
}

/// The state of a container that waits.
pub(crate) fn waiting(reason: &str, message: &str) -> Value {
    json!({ "waiting": { "reason": reason, "message": message } })
}

/// The state of a container that has ended.
pub(crate) fn ended(code: i32, reason: &str, message: &str) -> Value {
    json!({ "terminated": {
        "exitCode": code, "reason": reason, "message": message, "startedAt": AT, "finishedAt": AT,
        "containerID": "test://0",
    } })
}
