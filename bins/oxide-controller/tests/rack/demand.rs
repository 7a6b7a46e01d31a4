//! Machines on demand, from one end to the other: a model that does not fit, a rack that grows, a node that joins, a worker on
//! it; and when nobody wants the model any more, a rack that shrinks.

use crate::support::program::PATIENCE;
use crate::support::world::{COMMAND, KUBECONFIG, Rest, SETTLED, World};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

const NAMESPACE: &str = "clowder";
/// The definition of a Model, as it is installed.
const DEFINITION: &str = include_str!("../../../../charts/clowder/crds/models.yaml");

/// The cluster's own controller, built beside the program under test by tests/cluster.sh.
fn controller(kubeconfig: &Path, rest: &Rest, token: &Path) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_oxide-controller")).with_file_name("clowder-controller");
    let mut command = Command::new(&program);
    command.env_clear().env("KUBECONFIG", kubeconfig).env("RUST_LOG", "info").stdin(Stdio::null()).kill_on_drop(true);
    command.args(["run", "--namespace", NAMESPACE, "--worker-image", "clowder:dev", "--health-address", "127.0.0.1:0"]);
    command.args(["--infra-url", &rest.url, "--infra-idle-seconds", "2", "--infra-token-file"]).arg(token);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

async fn define_models(client: &Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({ "metadata": { "name": NAMESPACE } })).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition: Value = serde_saphyr::from_str(DEFINITION).unwrap();
    let apply = PatchParams::apply("test");
    definitions.patch("models.clowder.dev", &apply, &Patch::Apply(definition)).await.unwrap();
    let established = await_condition(definitions, "models.clowder.dev", is_crd_established());
    tokio::time::timeout(PATIENCE, established).await.unwrap().unwrap();
}

fn is_ready(model: Option<&DynamicObject>) -> bool {
    model.is_some_and(|model| model.data["status"]["phase"] == "Ready")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rack_grows_and_shrinks_with_what_models_need() {
    let world = World::new("100.66.43.4").await;
    let words = COMMAND.replace("--worker-count 1", "--worker-max 3") + " --control-plane-count 1";
    let mut running = world.home.start(&words);
    let rest = Rest::of(&mut running, &world.home).await;
    running.says(SETTLED).await;
    assert_eq!(world.workers(), 0);

    let client = world.kubectl().await;
    define_models(&client).await;
    let kubeconfig = world.home.path().join(KUBECONFIG);
    let _pods = world.machines.cluster().await.start_pods(&kubeconfig);
    let token = world.home.path().join(".local/state/oxide-controller/clowder/api.token");
    let mut controller = controller(&kubeconfig, &rest, &token);

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("clowder.dev", "v1alpha1", "Model"));
    let models: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &kind);
    // Two of them fill a machine: for the third there is another one.
    let spec = json!({ "source": "builtin:kitten", "replicas": 3, "resources": { "memory": "2500Mi" } });
    let model = DynamicObject::new("kitten", &kind).data(json!({ "spec": spec }));
    models.create(&PostParams::default(), &model).await.unwrap();
    let ready = await_condition(models.clone(), "kitten", is_ready);
    tokio::select! {
        ready = tokio::time::timeout(PATIENCE, ready) => drop(ready.expect("the model serves").unwrap()),
        ended = controller.wait() => panic!("the controller ended: {ended:?}"),
    }
    assert_eq!(world.workers(), 2);
    assert_eq!(world.nodes().await, world.instances());

    models.delete("kitten", &DeleteParams::default()).await.unwrap();
    running.says("clowder-worker-").await;
    while world.workers() > 0 {
        running.says(SETTLED).await;
    }
    assert_eq!(world.nodes().await, ["clowder-control-plane-0"], "nodes go with their machines");
    controller.start_kill().unwrap();
    running.end().await;
}
