//! The rule of the house, kept: which crate may stand on which, and what must not be in the tree at all.

use std::collections::BTreeSet;
use std::process::Command;

/// Names of all packages that `package` is built with.
fn tree(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("UTF-8");
    names.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[track_caller]
fn assert_absent(package: &str, unwanted: &[&str]) {
    let tree = tree(package);
    let found: Vec<_> = unwanted.iter().filter(|name| tree.contains(**name)).collect();
    assert!(found.is_empty(), "{package} must not stand on {found:?}");
}

const TRANSPORTS: &[&str] =
    &["reqwest", "hyper", "axum", "kube", "oxide", "llama-cpp-2", "llama-cpp-sys-2", "serde_json"];

#[test]
fn core_knows_no_transport_and_no_foreign_code() {
    assert_absent("clowder-core", TRANSPORTS);
}

#[test]
fn the_crates_stand_on_core_and_never_on_each_other() {
    let crates = ["clowder-runtime", "clowder-storage", "clowder-balancer", "clowder-k8s", "clowder-oxide"];
    for package in crates {
        assert!(tree(package).contains("clowder-core"), "{package} speaks core's vocabulary");
        let others: Vec<&str> = crates.into_iter().filter(|other| *other != package).collect();
        assert_absent(package, &others);
    }
}

#[test]
fn only_the_runtime_knows_llama_cpp_and_only_one_crate_kubernetes() {
    assert_absent("clowder-storage", &["llama-cpp-2", "llama-cpp-sys-2", "kube"]);
    assert_absent("clowder-balancer", &["llama-cpp-2", "llama-cpp-sys-2", "kube"]);
    assert_absent("clowder-runtime", &["kube", "reqwest"]);
    assert_absent("clowder-k8s", &["llama-cpp-2", "llama-cpp-sys-2", "axum", "reqwest"]);
}

#[test]
fn one_tls_provider() {
    for package in [
        "clowder",
        "clowder-storage",
        "clowder-balancer",
        "clowder-k8s",
        "clowder-oxide",
        "clowder-oxide-simulator",
        "oxide-controller",
    ] {
        assert_absent(package, &["native-tls", "openssl-sys", "ring"]);
    }
}
