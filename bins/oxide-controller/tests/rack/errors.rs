//! What does not work is said in one clear line.

use crate::support::program::Home;
use clowder_oxide_simulator::{Options, Quotas, SiloImage, Simulator};
use std::net::SocketAddr;

/// A rack with the image that machines start from.
fn options() -> Options {
    let image = SiloImage { name: "debian-12-cloud".to_owned(), size: 2 << 30 };
    Options { silo_images: vec![image], projects: vec!["clowder".to_owned()], ..Options::instant() }
}

async fn rack(options: Options) -> (Simulator, Home) {
    let rack = Simulator::start(options).await.unwrap();
    let mut home = Home::new();
    home.set("CLOWDER_OXIDE_API_URL", rack.url().as_str());
    home.set("CLOWDER_OXIDE_TOKEN", rack.token());
    home.set("CLOWDER_OXIDE_ADDRESS", "127.0.0.1:0");
    (rack, home)
}

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word:?} is not in: {line}");
    }
    assert!(line.len() < 500 && !line.contains(" { "), "{line}");
}

#[tokio::test]
async fn a_wrong_token() {
    let (rack, mut home) = rack(options()).await;
    home.set("CLOWDER_OXIDE_TOKEN", "oxide-token-wrong");
    let line = home.run("").await.fails();
    assert_says(&line, &["127.0.0.1", "token"]);
    assert!(!line.contains("oxide-token-wrong"), "{line}");
    assert!(rack.mutating_calls().is_empty());
}

#[tokio::test]
async fn a_host_that_does_not_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    drop(listener);
    let home = Home::new();
    let line =
        home.run(&format!("--oxide-api-url http://{address} --oxide-token t --address 127.0.0.1:0")).await.fails();
    assert_says(&line, &["127.0.0.1"]);
}

#[tokio::test]
async fn an_unknown_profile() {
    let home = Home::new();
    home.write(".config/oxide/credentials.toml", "[profile.home]\nhost = \"https://h\"\ntoken = \"t\"\nuser = \"u\"\n");
    let line = home.run("--oxide-profile work").await.fails();
    assert_says(&line, &["there is no profile work in", "credentials.toml: there are home"]);
    let both = home.run("--oxide-profile home --oxide-token t").await;
    assert_eq!(both.code, Some(2), "{both:#?}");
}

#[tokio::test]
async fn a_quota_that_does_not_suffice() {
    let (rack, home) = rack(Options { quotas: Quotas { cpus: 1, ..Quotas::default() }, ..options() }).await;
    let mut running = home.start("--control-plane-external-ip=false");
    let line = running.says("control-plane-0: failed").await;
    assert_says(&line, &["quota"]);
    running.end().await;
    assert!(rack.state().instances.iter().all(|instance| !instance.is_up));
}

#[tokio::test]
async fn an_image_that_there_is_not() {
    let (rack, home) = rack(options()).await;
    let mut running = home.start("--control-plane-image-name debian-bullseye --control-plane-external-ip=false");
    let line = running.says("debian-bullseye").await;
    assert_says(&line, &["neither in the project nor in the silo"]);
    running.end().await;
    assert!(rack.state().instances.is_empty());
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let (rack, home) = rack(options()).await;
    let said = home.run("--dry-run --worker-count 2").await.ok();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.contains(&"create clowder-control-plane-0, the first server"), "{said}");
    assert!(lines.contains(&"create clowder-worker-1 of pool:workers"), "{said}");
    assert!(rack.mutating_calls().is_empty());
    assert!(!home.path().join(".local/state/oxide-controller/clowder/secrets.json").exists(), "nothing is kept");
}

#[tokio::test]
async fn what_is_not_named_is_not_destroyed() {
    let (rack, home) = rack(options()).await;
    let line = home.run("--destroy other").await.fails();
    assert_says(&line, &["other", "--cluster-name"]);
    assert!(rack.calls().is_empty());
}
