//! A real API server with its etcd, as the first server of a cluster would run it: with the authorities that its user data
//! brought, and nothing else of this test's.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Where the programs are; bins/oxide-controller/tests/cluster.sh sets it.
const PROGRAMS: &str = "CLOWDER_CLUSTER_PROGRAMS";
/// How long the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(180);

/// The part of user data that says what files a machine gets.
#[derive(Deserialize)]
struct CloudConfig {
    write_files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    content: String,
}

/// The authorities of a cluster, as its first server gets them.
pub(crate) struct Authorities {
    server: (String, String),
    client: (String, String),
}

impl Authorities {
    /// Those in this user data, if it is a first server's.
    pub(crate) fn of(user_data: &str) -> Option<Self> {
        let config: CloudConfig = serde_saphyr::from_str(user_data).expect("cloud-init takes it");
        let file = |name: &str| {
            let path = format!("/var/lib/rancher/k3s/server/tls/{name}");
            config.write_files.iter().find(|file| file.path == path).map(|file| file.content.clone())
        };
        let pair = |name: &str| Some((file(&format!("{name}.crt"))?, file(&format!("{name}.key"))?));
        Some(Self { server: pair("server-ca")?, client: pair("client-ca")? })
    }
}

/// A certificate that one of them signed, and its key.
fn sign((_, key): &(String, String), authority: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = DistinguishedName::new();
    issuer.distinguished_name.push(DnType::CommonName, authority);
    let issuer = Issuer::new(issuer, KeyPair::from_pem(key).unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
}

/// An API server that runs until it is dropped.
pub(crate) struct Kubernetes {
    pub(crate) client: Client,
    _programs: [Child; 2],
    folder: TempDir,
}

impl Kubernetes {
    /// Starts one at port 6443 of this address.
    pub(crate) async fn start(address: IpAddr, authorities: &Authorities) -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (certificate, key) = sign(&authorities.server, "clowder-server-ca", |params| {
            params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
            params.subject_alt_names = vec![SanType::IpAddress(address)];
        });
        let accounts = KeyPair::generate().unwrap();
        for (name, text) in [
            ("server.crt", certificate),
            ("server.key", key),
            ("client-ca.crt", authorities.client.0.clone()),
            ("accounts.key", accounts.serialize_pem()),
            ("accounts.pub", accounts.public_key_pem()),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        let (clients, peers) = (free_port().await, free_port().await);
        let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
        let etcd = spawn(
            &programs,
            "etcd",
            folder.path(),
            &[
                format!("--data-dir={}", at("etcd").display()),
                "--unsafe-no-fsync".to_owned(),
                format!("--listen-client-urls={clients}"),
                format!("--advertise-client-urls={clients}"),
                format!("--listen-peer-urls={peers}"),
                format!("--initial-advertise-peer-urls={peers}"),
                format!("--initial-cluster=default={peers}"),
            ],
        );
        let file = |flag: &str, name: &str| format!("--{flag}={}", at(name).display());
        let server = spawn(
            &programs,
            "kube-apiserver",
            folder.path(),
            &[
                format!("--etcd-servers={clients}"),
                format!("--bind-address={address}"),
                "--secure-port=6443".to_owned(),
                file("tls-cert-file", "server.crt"),
                file("tls-private-key-file", "server.key"),
                file("client-ca-file", "client-ca.crt"),
                file("service-account-key-file", "accounts.pub"),
                file("service-account-signing-key-file", "accounts.key"),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                "--service-cluster-ip-range=10.99.0.0/16".to_owned(),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                "--endpoint-reconciler-type=none".to_owned(),
                "--shutdown-delay-duration=0s".to_owned(),
            ],
        );
        let client = administrator(address, authorities).await;
        let answers = async {
            while client.apiserver_version().await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, answers).await.is_err() {
            let log = std::fs::read_to_string(at("kube-apiserver.log")).unwrap_or_default();
            panic!("the API server does not answer: {log}");
        }
        Self { client, _programs: [etcd, server], folder }
    }

    /// Starts the scheduler, and kwok in place of kubelets, as the administrator of this kubeconfig.
    pub(crate) fn start_pods(&self, kubeconfig: &Path) -> [Child; 2] {
        let programs = programs();
        let kubeconfig = kubeconfig.display();
        let scheduler = json!({
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": { "kubeconfig": kubeconfig.to_string() },
            "leaderElection": { "leaderElect": false },
        });
        let configuration = self.folder.path().join("scheduler.yaml");
        std::fs::write(&configuration, scheduler.to_string()).unwrap();
        let scheduler = ["--secure-port=0".to_owned(), format!("--config={}", configuration.display())];
        let kwok = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--config={programs}/stages.yaml"),
            "--manage-nodes-with-label-selector=type=kwok".to_owned(),
            "--node-lease-duration-seconds=40".to_owned(),
            "--server-address=".to_owned(),
        ];
        [
            spawn(&programs, "kube-scheduler", self.folder.path(), &scheduler),
            spawn(&programs, "kwok", self.folder.path(), &kwok),
        ]
    }

    /// A machine becomes a node, and is ready. Servers are for the control plane alone; workers' Pods are kwok's affair, where
    /// it runs.
    pub(crate) async fn join(&self, name: &str, is_server: bool, memory: u64) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let taints = match is_server {
            true => json!([{ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" }]),
            false => json!([]),
        };
        let room = json!({ "cpu": "2", "memory": memory.to_string(), "pods": "110" });
        let conditions = json!([{ "type": "Ready", "status": "True" }]);
        let node: Node = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": { "type": "kwok", "kubernetes.io/hostname": name } },
            "status": { "conditions": conditions, "capacity": room, "allocatable": room },
        }))
        .unwrap();
        match nodes.create(&PostParams::default(), &node).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => panic!("{error}"),
        }
        // The API server takes every new node for one that is not ready, until the controller that looks after nodes says
        // otherwise.
        let ready = json!({ "spec": { "taints": taints } });
        nodes.patch(name, &PatchParams::default(), &Patch::Merge(ready)).await.unwrap();
    }
}

/// A client that this test signed for itself, with the authority that the user data has.
async fn administrator(address: IpAddr, authorities: &Authorities) -> Client {
    let (certificate, key) = sign(&authorities.client, "clowder-client-ca", |params| {
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        params.distinguished_name.push(DnType::CommonName, "machines");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    use base64::Engine as _;
    let base64 = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
    // JSON is YAML.
    let kubeconfig = json!({
        "clusters": [{ "name": "c", "cluster": {
            "server": format!("https://{address}:6443"),
            "certificate-authority-data": base64(&authorities.server.0),
        } }],
        "users": [{ "name": "u", "user": {
            "client-certificate-data": base64(&certificate),
            "client-key-data": base64(&key),
        } }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "current-context": "c",
    });
    let kubeconfig = Kubeconfig::from_yaml(&kubeconfig.to_string()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

fn programs() -> String {
    std::env::var(PROGRAMS).unwrap_or_else(|_| panic!("{PROGRAMS} is set by tests/cluster.sh"))
}

async fn free_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn spawn(programs: &str, name: &str, folder: &Path, args: &[String]) -> Child {
    let log = std::fs::File::create(folder.join(format!("{name}.log"))).unwrap();
    let mut command = Command::new(Path::new(programs).join(name));
    command.args(args).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap_or_else(|error| panic!("{name}: {error}"))
}
