//! The walk-through of the first release, as it was printed: its command runs unchanged.

use crate::support::program::PATIENCE;
use crate::support::world::{COMMAND, KUBECONFIG, Rest, SETTLED, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::await_condition;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

#[tokio::test(flavor = "multi_thread")]
async fn the_seeds_command_brings_a_cluster_up_and_scales_it() {
    let world = World::new("100.66.43.1").await;
    let mut running = world.home.start(COMMAND);
    let rest = Rest::of(&mut running, &world.home).await;
    running.says_all(&["its kubeconfig is", SETTLED]).await;
    let control_plane = ["clowder-control-plane-0", "clowder-control-plane-1", "clowder-control-plane-2"];
    assert_eq!(world.instances(), [&control_plane[..], &["clowder-worker-0"]].concat());
    assert_eq!(world.nodes().await, world.instances());
    let mode = std::fs::metadata(world.home.path().join(KUBECONFIG)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept: Api<Secret> = Api::namespaced(world.kubectl().await, "oxide-controller-system");
    let kept = kept.get("oxide-controller-secret").await.unwrap();
    assert!(kept.data.unwrap().contains_key("secrets.json"));

    assert_eq!(rest.get("/nodes/workers").await, "1");
    let changed = rest.modify("5").await;
    assert_eq!(changed, (StatusCode::CREATED, "Worker count changed from 1 to 5".to_owned()));
    running.says(SETTLED).await;
    assert_eq!(world.workers(), 5);
    assert_eq!(rest.modify("2").await.1, "Worker count changed from 5 to 2");
    running.says(SETTLED).await;
    assert_eq!(world.workers(), 2);
    assert_eq!(world.nodes().await, world.instances(), "nodes go with their machines");
    let pools: Value = serde_json::from_str(&rest.get("/api/v1/pools").await).unwrap();
    assert_eq!(pools["pools"]["workers"]["machines"].as_array().unwrap().len(), 2);
    world.assert_nothing_secret(&running.end().await);

    let asked = world.tailnet.calls();

    // The number was asked for by REST; the flag asks for another.
    let mut again = world.home.start(&COMMAND.replace("--worker-count 1", "--worker-count 2"));
    world.rack.forget_calls();
    again.says_all(&["is unchanged", SETTLED]).await;
    again.end().await;
    assert_eq!(world.rack.mutating_calls(), [], "a second run changes nothing");

    let mut fewer = world.home.start(COMMAND);
    fewer.says("clowder-worker-").await;
    fewer.says(SETTLED).await;
    assert_eq!(world.workers(), 1);
    fewer.end().await;
    assert_eq!(world.tailnet.calls(), asked, "the API key is for the first run alone");

    let gone = world.home.run(&format!("{COMMAND} --destroy clowder")).await.ok();
    assert!(gone.contains("cluster clowder is no more"), "{gone}");
    let state = world.rack.state();
    assert!(state.instances.is_empty() && state.disks.is_empty() && state.floating_ips.is_empty(), "{state:#?}");
    assert!(!world.home.path().join(".local/state/oxide-controller/clowder").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_moves_into_the_cluster() {
    let world = World::new("100.66.43.2").await;
    let words = format!("{COMMAND} --control-plane-count 1 --controller-oci-image registry.example.com/clowder:1");
    let mut running = world.home.start(&words);
    running.says("moving into the cluster").await;
    let cluster = world.machines.cluster().await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), "oxide-controller-system");
    let there = await_condition(deployments.clone(), "oxide-controller", |found: Option<&Deployment>| found.is_some());
    let deployment = tokio::time::timeout(PATIENCE, there).await.unwrap().unwrap().unwrap();
    let container = &deployment.spec.unwrap().template.spec.unwrap().containers[0];
    assert_eq!(container.image.as_deref(), Some("registry.example.com/clowder:1"));
    let args = container.args.clone().unwrap().join(" ");
    assert!(args.contains("--worker-memory=8") && args.contains("--tailscale-auth-key=file:"), "{args}");
    assert!(!args.contains("tskey") && !args.contains(world.rack.token()), "{args}");
    // Nobody runs Pods here: this says that it does.
    let status = json!({ "status": {
        "observedGeneration": deployment.metadata.generation, "replicas": 1, "updatedReplicas": 1,
        "readyReplicas": 1, "availableReplicas": 1,
    } });
    deployments.patch_status("oxide-controller", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    running.says("the controller runs in the cluster").await;
    let said = running.ended().await;
    world.assert_nothing_secret(&said);
    let kept: Api<Secret> = Api::namespaced(cluster.client.clone(), "oxide-controller-system");
    let kept = kept.get("oxide-controller-secret").await.unwrap().data.unwrap();
    let keys: Vec<&str> = kept.keys().map(String::as_str).collect();
    assert_eq!(keys, ["api.token", "oxide.token", "secrets.json", "tailscale-auth.key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_secrets_are_found_in_the_cluster_and_never_made_anew() {
    let world = World::new("100.66.43.3").await;
    let words = format!("{COMMAND} --control-plane-count 1 --worker-count=0");
    let words = words.replace("--worker-count 1", "");
    let mut running = world.home.start(&words);
    running.says_all(&["its kubeconfig is", SETTLED]).await;
    running.end().await;
    let state = world.home.path().join(".local/state/oxide-controller/clowder");
    let secrets = std::fs::read_to_string(state.join("secrets.json")).unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    let mut again = world.home.start(&words);
    again.says("restored the cluster's secrets").await;
    again.says(SETTLED).await;
    again.end().await;
    assert_eq!(std::fs::read_to_string(state.join("secrets.json")).unwrap(), secrets);

    std::fs::remove_dir_all(&state).unwrap();
    std::fs::remove_file(world.home.path().join(KUBECONFIG)).unwrap();
    world.rack.forget_calls();
    let line = world.home.run(&words).await.fails();
    assert!(line.contains("its secrets are not in"), "{line}");
    assert_eq!(world.rack.mutating_calls(), []);
}
