//! Files that a worker needs beside its model's.

use super::*;
use crate::model::{Adapter, Draft};

fn adapter(name: &str, source: &str) -> Adapter {
    Adapter { name: name.parse().unwrap(), source: source.parse().unwrap(), digest: None }
}

#[tokio::test]
async fn companions_count_for_what_a_worker_is_promised() {
    let mut cluster = Cluster::start(one_node());
    let ready = |status: &ModelStatus| status.phase == ModelPhase::Ready;
    cluster.want("plain", "builtin:m", 1).await;
    let plain = cluster.until("plain", "ready", ready).await.memory.unwrap();
    let file = tiny_adapter_gguf().len() as u64;
    cluster
        .want_with("adapted", "builtin:m", |spec| {
            spec.adapters = vec![adapter("a", "builtin:adapter"), adapter("b", "builtin:adapter")];
        })
        .await;
    let adapted = cluster.until("adapted", "ready", ready).await;
    assert_eq!(adapted.memory, Some(plain + 2 * file));
    assert_eq!(adapted.workers[0].memory, plain + 2 * file);
    let draft = Some(Draft::new("builtin:m".parse().unwrap()));
    cluster.want_with("drafted", "builtin:m", |spec| spec.engine.draft = draft).await;
    let drafted = cluster.until("drafted", "ready", ready).await;
    assert!(drafted.memory.unwrap() > plain + tiny_gguf(0).len() as u64);
}

#[tokio::test]
async fn a_companion_that_is_not_what_it_shall_be_is_told_before_anything_is_fetched() {
    let mut cluster = Cluster::start(one_node());
    let failed = |status: &ModelStatus| status.phase == ModelPhase::Failed;
    cluster.want_with("one", "builtin:m", |spec| spec.adapters = vec![adapter("a", "builtin:m")]).await;
    let reason = cluster.until("one", "failed", failed).await.reason.clone().unwrap();
    assert_eq!(reason, "builtin:m: the GGUF holds a model, not a LoRA adapter");
    let draft = |source: &str| Some(Draft::new(source.parse().unwrap()));
    cluster.want_with("two", "builtin:m", |spec| spec.engine.draft = draft("builtin:adapter")).await;
    let reason = cluster.until("two", "failed", failed).await.reason.clone().unwrap();
    assert_eq!(reason, "builtin:adapter: the GGUF holds a LoRA adapter, not a model");
    cluster.want_with("three", "builtin:m", |spec| spec.engine.draft = draft("builtin:none")).await;
    let status = cluster.until("three", "failed", failed).await;
    assert_eq!(status.reason.as_deref(), Some("builtin:none does not exist"));
    assert!(status.facts.is_some() && status.workers.is_empty(), "its own header is known");
}
