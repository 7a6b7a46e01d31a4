//! Everything that the walk-through of the first release speaks of, and its command.

use super::authority::Authority;
use super::machines::Machines;
use super::program::{Home, Running};
use super::proxy::Proxy;
use super::tls;
use clowder_oxide_simulator::{Options, SiloImage, Simulator, Tailnet, Tls};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use reqwest::StatusCode;
use std::collections::BTreeMap;
use std::net::IpAddr;
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
    pub(crate) tailnet: Arc<Tailnet>,
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

    pub(crate) fn assert_nothing_secret(&self, said: &[String]) {
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

    pub(crate) async fn get(&self, path: &str) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("{}{path}", self.url)).bearer_auth(&self.token).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    }

    pub(crate) async fn modify(&self, workers: &str) -> (StatusCode, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client.post(format!("{}/nodes/workers/modify", self.url)).bearer_auth(&self.token);
        let answer = call.body(workers.to_owned()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}
