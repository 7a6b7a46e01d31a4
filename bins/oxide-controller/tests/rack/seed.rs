//! The walk-through of the first release, as it was printed: its command runs unchanged.

use crate::support::authority::Authority;
use crate::support::machines::Machines;
use crate::support::program::{Home, PATIENCE, Running};
use crate::support::proxy::Proxy;
use crate::support::tls;
use clowder_oxide_simulator::{Options, SiloImage, Simulator, Tailnet, Tls};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

/// The command, without its comments.
pub(crate) const COMMAND: &str = r#"
  --cluster-project clowder
  --oxide-api-url https://mycoolexidehost.com
  --control-plane-root-disk-size 16
  --control-plane-image-name debian-bullseye
  --control-plane-external-ip=false
  --worker-count 1
  --worker-cpu 2
  --worker-memory 8
  --worker-root-disk-size 16
  --worker-extra-disk-size 16
  --worker-image-name debian-bullseye
  --tailscale-auth-key file:ts-auth.key
  --tailscale-api-key file:ts-api.key
  --tailscale-tailnet tail66ef.ts.net
  -v1
"#;

/// The file that it writes.
pub(crate) const KUBECONFIG: &str = ".kube/oxide-controller-config";
/// What it says when there is nothing more to do.
pub(crate) const SETTLED: &str = "all is as it should be";

/// Everything that the walk-through speaks of.
pub(crate) struct World {
    pub(crate) rack: Simulator,
    pub(crate) machines: Machines,
    tailnet: Arc<Tailnet>,
    pub(crate) home: Home,
    _api: tls::Tls,
    _proxy: Proxy,
}

impl World {
    /// `address` is where the cluster's API server is: each test has one of its own.
    pub(crate) async fn new(address: &str) -> Self {
        let authority = Authority::new();
        let pair = authority.server("mycoolexidehost.com");
        let rack = Simulator::start(Options {
            tls: Some(Tls { host: "mycoolexidehost.com".to_owned(), certificates: pair.certificate, key: pair.key }),
            projects: vec!["clowder".to_owned()],
            silo_images: vec![SiloImage { name: "debian-bullseye".to_owned(), size: 2 << 30 }],
            ..Options::instant()
        });
        let rack = rack.await.unwrap();
        let tailnet = Arc::new(Tailnet::start("tail66ef.ts.net", "tskey-api-test").await.unwrap());
        let behind = tailnet.url().socket_addrs(|| None).unwrap()[0];
        let api = tls::Tls::start(behind, &authority.server("api.tailscale.com")).await;
        let port = rack.url().port().expect("a port of its own");
        let hosts = BTreeMap::from([
            ("mycoolexidehost.com", ([127, 0, 0, 1], port).into()),
            ("api.tailscale.com", api.address),
        ]);
        let proxy = Proxy::start(hosts).await;
        let mut home = Home::new();
        let profile = format!(
            "[profile.home]\nhost = \"https://mycoolexidehost.com\"\ntoken = \"{}\"\nuser = \"u\"\n",
            rack.token()
        );
        home.write(".config/oxide/credentials.toml", &profile);
        home.write("ts-auth.key", "tskey-auth-test\n");
        home.write("ts-api.key", "tskey-api-test\n");
        home.write("authority.pem", &authority.certificate);
        home.set("SSL_CERT_FILE", home.path().join("authority.pem").display().to_string());
        home.set("HTTPS_PROXY", proxy.url.clone());
        home.set("CLOWDER_OXIDE_ADDRESS", "127.0.0.1:0");
        let address: IpAddr = address.parse().unwrap();
        let machines = Machines::play(&rack, address, tailnet.clone());
        Self { rack, machines, tailnet, home, _api: api, _proxy: proxy }
    }

    /// A client with the kubeconfig that was written.
    pub(crate) async fn kubectl(&self) -> Client {
        let kubeconfig = Kubeconfig::from_yaml(&self.home.read(KUBECONFIG)).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }

    pub(crate) async fn nodes(&self) -> Vec<String> {
        let nodes: Api<Node> = Api::all(self.kubectl().await);
        let nodes = nodes.list(&ListParams::default()).await.unwrap();
        nodes.items.into_iter().map(|node| node.metadata.name.unwrap()).collect()
    }

    /// The instances of the rack.
    pub(crate) fn instances(&self) -> Vec<String> {
        self.rack.state().instances.iter().map(|instance| instance.view.name.to_string()).collect()
    }

    pub(crate) fn workers(&self) -> usize {
        self.instances().iter().filter(|name| name.starts_with("clowder-worker-")).count()
    }

    fn assert_nothing_secret(&self, said: &[String]) {
        let said = said.join("\n");
        for secret in [self.rack.token(), "tskey-auth-test", "tskey-api-test", "PRIVATE KEY", "K10"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// The REST API of a run.
pub(crate) struct Rest {
    pub(crate) url: String,
    token: String,
}

impl Rest {
    pub(crate) async fn of(running: &mut Running, home: &Home) -> Self {
        let line = running.says("the REST API is at").await;
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let token = home.read(".local/state/oxide-controller/clowder/api.token");
        Self { url: url.trim_end_matches(';').to_owned(), token: token.trim().to_owned() }
    }

    async fn get(&self, path: &str) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }

    async fn modify(&self, workers: &str) -> (StatusCode, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client.post(format!("{}/nodes/workers/modify", self.url)).bearer_auth(&self.token);
        let answer = call.body(workers.to_owned()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

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
