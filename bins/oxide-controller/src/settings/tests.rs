use super::*;
use crate::flags::tests::typed;
use std::ffi::OsString;

fn settings(words: &str) -> Result<Settings, String> {
    let words = format!("--oxide-api-url https://rack.example --oxide-token t {words}");
    let environment = |name: &str| (name == "HOME").then(|| OsString::from("/home/u"));
    Settings::new(&typed(&words).unwrap(), &environment).map_err(|error| clowder_core::chain(&error))
}

#[test]
fn without_a_word_it_is_three_servers_and_no_workers() {
    let settings = settings("").unwrap();
    let spec = settings.cluster.spec();
    assert_eq!((spec.project.as_str(), spec.id.as_str(), spec.servers.count), ("clowder", "clowder", 3));
    assert_eq!(spec.servers.external_ip, ExternalIp::Ephemeral);
    let pool = &spec.pools[&PoolName::from(WORKERS)];
    let machines = &pool.machines;
    assert_eq!((machines.vcpus, machines.memory_gib, machines.root_disk_gib), (4, 16, DISK_GIB));
    assert_eq!((machines.min, machines.max, pool.external_ip), (0, 32, ExternalIp::None));
    assert!(machines.data_disks_gib.is_empty() && settings.workers.is_none() && settings.tailnet.is_none());
    assert_eq!(settings.limits.cluster_init, Duration::from_secs(300));
    assert_eq!(settings.kubeconfig.unwrap().path, Path::new("/home/u/.kube/oxide-controller-config"));
    assert_eq!(settings.state, Path::new("/home/u/.local/state/oxide-controller"));
}

#[test]
fn an_image_comes_from_where_it_is_said_and_debians_from_debian() {
    let source = |words: &str| {
        let settings = settings(words).unwrap();
        let spec = settings.cluster.spec();
        let of = |image: &ImageSpec| image.source.as_ref().map(|source| source.url.to_string());
        (of(&spec.servers.image), of(&spec.pools[&PoolName::from(WORKERS)].image))
    };
    let debian = Some(DEFAULT_IMAGE_SOURCE.to_owned());
    assert_eq!(source(""), (debian.clone(), debian.clone()));
    assert_eq!(source("--control-plane-image-name own"), (None, debian));
    let own = "--control-plane-image-name own --worker-image-name own --worker-image-source https://i.example/own.raw";
    let url = Some("https://i.example/own.raw".to_owned());
    assert_eq!(source(own), (url.clone(), url));
}

#[test]
fn what_cannot_be_is_said_before_anything_is_asked() {
    for (words, says) in [
        ("--control-plane-count 2", "2 servers"),
        ("--worker-count 9 --worker-max 3", "--worker-count 9 is not within"),
        ("--worker-cpu 65", "1 to 64 vCPUs"),
        ("--worker-prefix clowder-control-plane-", "prefix clowder-control-plane-"),
        ("--tailscale-auth-key k", "--tailscale-api-key is not given"),
        ("--tailscale-auth-key k --tailscale-api-key a", "--tailscale-tailnet is not given"),
        ("--tailscale-auth-key file:none", "which cannot be read"),
        ("--user-ssh-public-key nonsense", "--user-ssh-public-key is not a public key"),
        ("--pools none.toml", "none.toml cannot be read"),
        ("--cluster-name Home", "cluster \"Home\""),
    ] {
        let said = settings(words).unwrap_err();
        assert!(said.contains(says) && !said.contains('\n'), "{words}: {said}");
    }
    assert!(settings("--in-cluster --tailscale-auth-key k --tailscale-tailnet t.ts.net").is_ok());
    assert_eq!(settings("--worker-count 40").unwrap().workers, Some(40));
}

#[test]
fn another_release_of_k3s_takes_its_own_checksum() {
    let pinned = K3s::default().binary;
    let mirror = settings("--k3s-source https://mirror.example/k3s").unwrap().k3s.binary;
    assert_eq!((mirror.source.to_string().as_str(), &mirror.sha256), ("https://mirror.example/k3s", &pinned.sha256));
    let digest = format!("sha256:{}", "0".repeat(64));
    let other = settings(&format!("--k3s-source /opt/k3s --k3s-sha256 {digest} --k3s-images /opt/i.tar,{digest}"));
    let other = other.unwrap().k3s;
    assert_eq!((other.binary.sha256.to_string(), other.images.len()), (digest.clone(), 1));
    assert!(typed(&format!("--k3s-sha256 {digest}")).is_err(), "a checksum without its file");
}
