//! A namespace of a cluster that has an API server and no kubelet, and something that plays kubelet in it.

mod kubelet;
mod logs;

pub(crate) use kubelet::{Kubelet, ended, running, waiting};
pub(crate) use logs::{WAITS_TO_START, write_line};

use clowder_core::plan::StartWorker;
use clowder_core::{Action, ModelSpec, WorkerId};
use clowder_k8s::{KubernetesBackend, KubernetesDesired, Model, WorkerTemplate};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, CustomResourceExt};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The node of these tests: the first of all by name, so that suites that take the first take this.
pub(crate) const NODE: &str = "0-clowder-test";

/// A namespace of a test's own.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// What all tests of this process share.
static PREPARED: OnceCell<()> = OnceCell::const_new();

impl Cluster {
    /// A fresh namespace of the cluster that KUBECONFIG names.
    pub(crate) async fn new(test: &str) -> Self {
        let client = Client::try_default().await.expect("KUBECONFIG names a cluster: make e2e-cluster sets it");
        PREPARED.get_or_init(|| prepare(client.clone())).await;
        let namespace = format!("clowder-{test}-{:08x}", rand::random::<u32>());
        let made: Namespace =
            serde_json::from_value(json!({ "metadata": { "name": namespace } })).expect("a Namespace");
        Api::all(client.clone()).create(&PostParams::default(), &made).await.expect("a namespace is made");
        Self { client, namespace }
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn models(&self) -> Api<Model> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn backend(&self) -> Arc<KubernetesBackend> {
        let template = WorkerTemplate::new(&self.namespace, "clowder:dev");
        Arc::new(KubernetesBackend::new(self.client.clone(), template))
    }

    pub(crate) fn desired(&self) -> KubernetesDesired {
        KubernetesDesired::new(self.client.clone(), &self.namespace)
    }
}

pub(crate) fn spec(name: &str) -> ModelSpec {
    ModelSpec::new(name.parse().expect("a name"), "builtin:kitten".parse().expect("a URL"))
}

/// The first worker of a model, to be started on the node of these tests.
pub(crate) fn start(spec: &ModelSpec) -> (WorkerId, Action) {
    let worker = WorkerId::nth(&spec.name, spec.revision(), 0);
    let start =
        StartWorker { worker: worker.clone(), spec: Arc::new(spec.clone()), node: NODE.into(), memory: 64 << 20 };
    (worker, Action::Start(start))
}

/// The resource's definition, and a node whose kubelet is this process.
async fn prepare(client: Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = Model::crd_name();
    let apply = PatchParams::apply("clowder-tests").force();
    definitions.patch(name, &apply, &Patch::Apply(Model::crd())).await.expect("the definition is applied");
    await_condition(definitions, name, is_crd_established()).await.expect("the definition is established");

    let folder = std::env::var_os("CLOWDER_CLUSTER_DIR").map(PathBuf::from);
    let folder =
        folder.expect("CLOWDER_CLUSTER_DIR is where tools/cluster/up.sh --apiserver-only put the cluster's keys");
    let port = logs::serve(&folder.join("pki"));
    let nodes: Api<Node> = Api::all(client);
    let _ = nodes.delete(NODE, &DeleteParams::default()).await;
    let node: Node = serde_json::from_value(json!({ "metadata": { "name": NODE } })).expect("a Node");
    nodes.create(&PostParams::default(), &node).await.expect("a node is made");
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
        "allocatable": { "cpu": "8", "memory": "16Gi", "pods": "110" },
        "capacity": { "cpu": "8", "memory": "16Gi", "pods": "110" },
        "conditions": [{ "type": "Ready", "status": "True" }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    } });
    nodes.patch_status(NODE, &PatchParams::default(), &Patch::Merge(&status)).await.expect("the node is ready");
}
