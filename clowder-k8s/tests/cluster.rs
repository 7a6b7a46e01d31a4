//! Against a real API server. `make e2e-cluster` starts one and runs these; there is no kubelet, and `support` plays it.

mod support;

use clowder_core::backend::LogOptions;
use clowder_core::desired::Change;
use clowder_core::secret::Credentials;
use clowder_core::status::{ModelPhase, ModelStatus, ModelStatuses};
use clowder_core::testing::{backend, desired, eventually, updates};
use clowder_core::{
    Action, Backend, BackendError, DesiredStore, ModelName, ModelSpec, Worker, WorkerId, WorkerState, chain,
};
use clowder_k8s::model::Spec;
use clowder_k8s::status::Phase;
use clowder_k8s::{BudgetWriter, Model, StatusWriter, statuses};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watch_object, watcher};
use serde_json::{Value, json};
use std::sync::Arc;
use support::{Cluster, Kubelet, WAITS_TO_START, ended, running, spec, start, waiting, write_line};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn put(spec: &ModelSpec) -> Change {
    let spec = spec.clone();
    Box::new(move |_| Ok(Some(spec)))
}

async fn set(cluster: &Cluster, name: &str, patch: Value) -> kube::Result<Model> {
    cluster.models().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await
}

/// What the API server says to what it refuses.
#[track_caller]
fn said<T: std::fmt::Debug>(outcome: kube::Result<T>) -> String {
    match outcome.expect_err("the API server refuses") {
        kube::Error::Api(status) => status.message.clone(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_conforms() {
    let cluster = Cluster::new("backend").await;
    let _kubelet = Kubelet::spawn(&cluster);
    backend::conformance(cluster.backend(), spec("kitten")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desired_store_conforms() {
    let cluster = Cluster::new("desired").await;
    desired::conformance(&cluster.desired()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pods_say_is_the_inventory() {
    let cluster = Cluster::new("states").await;
    let (backend, mut spec) = (cluster.backend(), spec("kitten"));
    spec.credentials = Some(Credentials::bearer("hf_secret"));
    let (worker, action) = start(&spec);
    backend.apply(&action).await.expect("started");
    let is = |state: WorkerState| {
        let worker = worker.clone();
        move |inventory: &Arc<clowder_core::Inventory>| {
            inventory.workers.get(&worker).is_some_and(|worker| worker.state == state)
        }
    };
    eventually(backend.watch(), "pending", is(WorkerState::Pending)).await;
    let secret = cluster.secrets().get(worker.as_str()).await.expect("a Secret of the Pod's name");
    let owner = &secret.metadata.owner_references.expect("it has an owner")[0];
    assert_eq!((owner.kind.as_str(), owner.name.as_str()), ("Pod", worker.as_str()));

    let not_yet = || waiting("PodInitializing", "");
    cluster.run_as(worker.as_str(), running(), not_yet(), json!({})).await;
    eventually(backend.watch(), "fetching", is(WorkerState::Fetching(Default::default()))).await;
    cluster.run_as(worker.as_str(), ended(3, "Error", "no such file"), not_yet(), json!({})).await;
    let reason = "fetching the model failed: exit code 3: no such file".to_owned();
    eventually(backend.watch(), "failed", is(WorkerState::Failed { reason })).await;
    let done = || ended(0, "Completed", "");
    cluster.run_as(worker.as_str(), done(), running(), json!({})).await;
    eventually(backend.watch(), "starting", is(WorkerState::Starting)).await;
    let crash = waiting("CrashLoopBackOff", "back-off 20s restarting failed container");
    cluster.run_as(worker.as_str(), done(), crash, ended(137, "OOMKilled", "")).await;
    let backs_off = |inventory: &Arc<clowder_core::Inventory>| {
        let state = inventory.workers.get(&worker).map(|worker| &worker.state);
        matches!(state, Some(WorkerState::Backoff { reason, .. }) if reason.contains("more memory"))
    };
    eventually(backend.watch(), "backing off", backs_off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_has_ended_makes_room_and_one_that_is_leaving_is_waited_for() {
    let cluster = Cluster::new("again").await;
    let (backend, (worker, action)) = (cluster.backend(), start(&spec("kitten")));
    backend.apply(&action).await.expect("started");
    let first = cluster.pods().get(worker.as_str()).await.expect("there");
    backend.apply(&action).await.expect("again");
    let same = cluster.pods().get(worker.as_str()).await.expect("there");
    assert_eq!(same.metadata.resource_version, first.metadata.resource_version, "the same again changes nothing");

    let evicted = json!({ "status": { "phase": "Failed", "reason": "Evicted" } });
    let patched = cluster.pods().patch_status(worker.as_str(), &PatchParams::default(), &Patch::Merge(&evicted)).await;
    patched.expect("evicted");
    backend.apply(&action).await.expect("started anew");
    let second = cluster.pods().get(worker.as_str()).await.expect("there");
    assert_ne!(second.metadata.uid, first.metadata.uid);

    // With a node and no kubelet that lets it go, it leaves for as long as its grace is.
    cluster.run_as(worker.as_str(), running(), waiting("PodInitializing", ""), json!({})).await;
    backend.apply(&Action::Stop { worker: worker.clone() }).await.expect("stopped");
    let busy = backend.apply(&action).await;
    assert!(matches!(busy, Err(BackendError::Busy { .. })), "{busy:?}");
    let draining = |inventory: &Arc<clowder_core::Inventory>| {
        inventory.workers.get(&worker).is_some_and(|worker| worker.state == WorkerState::Draining)
    };
    eventually(backend.watch(), "draining", draining).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_credentials_replace_a_pod_that_fails_and_none_that_serves() {
    let cluster = Cluster::new("mended").await;
    let (backend, mut spec) = (cluster.backend(), spec("kitten"));
    let (worker, action) = start(&spec);
    backend.apply(&action).await.expect("started");
    spec.credentials = Some(Credentials::bearer("hf_secret"));
    let (_, mended) = start(&spec);
    backend.apply(&mended).await.expect("a Pod that does not fail is good enough");
    let failing = ended(3, "Error", "401 Unauthorized");
    cluster.run_as(worker.as_str(), failing, waiting("PodInitializing", ""), json!({})).await;
    let refused = backend.apply(&mended).await;
    assert!(matches!(refused, Err(BackendError::Busy { .. })), "{refused:?}");
    let _kubelet = Kubelet::spawn(&cluster);
    let gone = |inventory: &Arc<clowder_core::Inventory>| !inventory.workers.contains_key(&worker);
    eventually(backend.watch(), "the Pod that failed is gone", gone).await;
    backend.apply(&mended).await.expect("started with credentials");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_somebody_else_is_left_alone() {
    let cluster = Cluster::new("foreign").await;
    let (worker, action) = start(&spec("kitten"));
    let theirs: Pod = serde_json::from_value(json!({
        "metadata": { "name": worker },
        "spec": { "containers": [{ "name": "other", "image": "other:1" }] },
    }))
    .expect("a Pod");
    cluster.pods().create(&PostParams::default(), &theirs).await.expect("made");
    let refused = cluster.backend().apply(&action).await.expect_err("refused");
    assert!(refused.to_string().contains("none of Clowder's"), "{refused}");
    let left = cluster.pods().get(worker.as_str()).await.expect("there");
    assert_eq!((left.metadata.labels, left.metadata.annotations), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_follow_the_workers_and_leave_with_them() {
    let cluster = Cluster::new("budgets").await;
    let (store, mut wanted) = (cluster.desired(), spec("kitten"));
    wanted.replicas = 3;
    store.update(&wanted.name, put(&wanted)).await.expect("recorded");
    let serving = |count: u32| {
        let worker = |ordinal| {
            let id = WorkerId::nth(&wanted.name, wanted.revision(), ordinal);
            let mut worker = Worker::new(id, wanted.name.clone(), "a".into());
            worker.state = WorkerState::Ready;
            Arc::new(worker)
        };
        let (spec, workers) = (Arc::new(wanted.clone()), (0..count).map(worker).collect());
        let phase = ModelPhase::Ready;
        let status =
            ModelStatus { spec, generation: 1, phase, reason: None, facts: None, memory: None, workers, moving: false };
        Arc::new(ModelStatuses::from([(wanted.name.clone(), Arc::new(status))]))
    };
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let theirs: PodDisruptionBudget = serde_json::from_value(json!({
        "metadata": { "name": "clowder-worker-kitten" },
        "spec": { "minAvailable": 7, "selector": { "matchLabels": { "app": "other" } } },
    }))
    .expect("a budget");
    budgets.create(&PostParams::default(), &theirs).await.expect("made");
    let (told, statuses) = watch::channel(serving(3));
    let shutdown = CancellationToken::new();
    let writer = tokio::spawn(BudgetWriter::new(cluster.client.clone(), &store, statuses).run(shutdown.clone()));
    let keeps = async |keep: Option<i32>| {
        let seen = watch_object(budgets.clone(), "clowder-worker-kitten");
        let seen = seen.filter_map(|budget| async { budget.ok() });
        let keep = keep.map(IntOrString::Int);
        eventually(seen, &format!("{keep:?} kept"), |budget| {
            budget.as_ref().and_then(|budget| budget.spec.as_ref()?.min_available.clone()) == keep
        })
        .await
    };
    told.send_replace(serving(2));
    let theirs = budgets.get("clowder-worker-kitten").await.expect("there");
    assert_eq!(theirs.metadata.labels, None, "one that somebody else made is left alone");
    budgets.delete("clowder-worker-kitten", &DeleteParams::default()).await.expect("deleted");
    let ours = keeps(Some(1)).await.expect("a budget").spec.expect("a spec");
    assert_eq!(ours.unhealthy_pod_eviction_policy.as_deref(), Some("AlwaysAllow"));
    told.send_replace(serving(3));
    keeps(Some(2)).await;
    told.send_replace(serving(1));
    keeps(Some(0)).await;
    store.update(&wanted.name, Box::new(|_| Ok(None))).await.expect("removed");
    keeps(None).await;
    shutdown.cancel();
    writer.await.expect("it ends when told to");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_by_tail_by_following_and_before_there_is_a_worker() {
    let cluster = Cluster::new("logs").await;
    let _kubelet = Kubelet::spawn(&cluster);
    let backend = cluster.backend();
    let mut workers = Vec::new();
    for name in ["kitten", WAITS_TO_START] {
        let (worker, action) = start(&spec(name));
        backend.apply(&action).await.expect("started");
        let serving = |inventory: &Arc<clowder_core::Inventory>| {
            inventory.workers.get(&worker).is_some_and(|worker| worker.serving().is_some())
        };
        eventually(backend.watch(), "serving", serving).await;
        workers.push(worker);
    }
    let tail = LogOptions { tail: Some(2), follow: false };
    let lines: Vec<String> =
        backend.logs(&workers[0], tail).await.expect("a log").map(|line| line.expect("a line")).collect().await;
    assert_eq!(lines, ["two", "three"]);
    let fetch = backend.logs(&workers[1], LogOptions::default()).await.expect("the log of fetch");
    let lines: Vec<String> = fetch.map(|line| line.expect("a line")).collect().await;
    assert_eq!(lines, ["one", "two", "three"]);
    let mut followed = backend.logs(&workers[0], LogOptions { tail: Some(1), follow: true }).await.expect("a log");
    assert_eq!(followed.next().await.expect("a line").expect("a line"), "three");
    write_line("four");
    assert_eq!(followed.next().await.expect("a line").expect("a line"), "four");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definitions_rules_are_told_in_words() {
    let cluster = Cluster::new("rules").await;
    let models = cluster.models();
    let make = async |name: &str, spec: Value| {
        let model = json!({ "apiVersion": "clowder.dev/v1alpha1", "kind": "Model", "metadata": { "name": name }, "spec": spec });
        let apply = PatchParams::apply("clowder-tests");
        models.patch(name, &apply, &Patch::Apply(&model)).await
    };
    make("m", json!({ "source": "builtin:kitten" })).await.expect("made");
    make("named", json!({ "source": "builtin:kitten", "alias": "Kitten" })).await.expect("made");
    let full = json!({
        "source": "builtin:kitten", "aliases": ["also", "Org/Full"], "priority": -1_000_000, "rollout": { "surge": 0 },
        "resources": { "memory": "6Gi" },
        "placement": { "spread": "topology.kubernetes.io/zone", "accelerators": { "name": "nvidia.com/gpu", "count": 64 } },
    });
    make("full", full).await.expect("made");
    make("bytes", json!({ "source": "builtin:kitten", "resources": { "memory": 6_442_450_944_u64 } }))
        .await
        .expect("made");
    make(&"l".repeat(64), json!({ "source": "builtin:kitten", "alias": "long" })).await.expect("made");

    let source = said(set(&cluster, "m", json!({ "spec": { "source": "builtin:other" } })).await);
    assert!(source.contains("the source of a model does not change: make another model"), "{source}");
    let other_names = [("m", json!("new")), ("named", json!("Other")), ("named", Value::Null)];
    for (name, alias) in other_names {
        let alias = said(set(&cluster, name, json!({ "spec": { "alias": alias } })).await);
        assert!(alias.contains("the name of a model does not change: make another model"), "{alias}");
    }
    let long = said(make(&"m".repeat(64), json!({ "source": "builtin:kitten" })).await);
    assert!(long.contains("metadata.name is too long for the name of a model"), "{long}");
    assert!(long.contains("give it one in spec.alias"), "{long}");

    let both = json!({ "source": "builtin:kitten", "replicas": 1, "autoscaling": { "max": 2 } });
    let both = said(make("wrong", both).await);
    assert!(both.contains("replicas and autoscaling exclude each other: take one of them out"), "{both}");
    let bounds =
        said(make("wrong", json!({ "source": "builtin:kitten", "autoscaling": { "min": 3, "max": 2 } })).await);
    assert!(bounds.contains("min is above max"), "{bounds}");
    let own = said(make("wrong", json!({ "source": "builtin:kitten", "alias": "a", "aliases": ["a"] })).await);
    assert!(own.contains("alias is the name of the model already: take it out of aliases"), "{own}");
    let own = said(make("wrong", json!({ "source": "builtin:kitten", "aliases": ["wrong"] })).await);
    assert!(own.contains("metadata.name is the name of the model already: take it out of spec.aliases"), "{own}");
    let accelerators = |name: &str, count: u32| json!({ "source": "builtin:kitten", "placement": { "accelerators": { "name": name, "count": count } } });
    let bare = said(make("wrong", accelerators("gpu", 1)).await);
    assert!(bare.contains("name is what nodes list under status.allocatable"), "{bare}");

    let setting = json!({ "source": "builtin:kitten", "engine": { "extra": { "mmap": "false" } } });
    let setting = said(make("wrong", setting).await);
    assert!(setting.contains("there is no such setting of llama.cpp; there are flash_attn, "), "{setting}");
    let adapter = |name: &str| json!({ "name": name, "source": "https://h/a.gguf" });
    let canary = |weight: u32| json!({ "weight": weight, "engine": { "slots": 2 } });

    let refused = [
        (json!({ "source": "builtin:kitten", "adapters": [adapter("a b")] }), "spec.adapters[0].name"),
        (
            json!({ "source": "builtin:kitten", "adapters": [adapter("a"), adapter("a")] }),
            ".spec.adapters: duplicate entries",
        ),
        (json!({ "source": "builtin:kitten", "engine": { "draft": {} } }), "spec.engine.draft.source"),
        (
            json!({ "source": "builtin:kitten", "engine": { "draft": { "source": "builtin:kitten", "tokens": 65 } } }),
            "spec.engine.draft.tokens",
        ),
        (json!({ "source": "builtin:kitten", "rollout": { "canary": canary(0) } }), "spec.rollout.canary.weight"),
        (json!({ "source": "builtin:kitten", "rollout": { "canary": canary(100) } }), "spec.rollout.canary.weight"),
        (json!({ "source": "builtin:kitten", "cache": { "pin": "yes" } }), "spec.cache.pin"),
        (json!({}), "spec.source"),
        (json!({ "source": "" }), "spec.source"),
        (json!({ "source": "builtin:kitten", "replicas": 1001 }), "spec.replicas"),
        (json!({ "source": "builtin:kitten", "replicas": -1 }), "spec.replicas"),
        (json!({ "source": "builtin:kitten", "alias": "a b" }), "spec.alias"),
        (json!({ "source": "builtin:kitten", "digest": "md5:0" }), "spec.digest"),
        (json!({ "source": "builtin:kitten", "engine": { "context": 1 } }), "spec.engine.context"),
        (json!({ "source": "builtin:kitten", "engine": { "slots": 257 } }), "spec.engine.slots"),
        (json!({ "source": "builtin:kitten", "engine": { "kvType": "q5" } }), "spec.engine.kvType"),
        (json!({ "source": "builtin:kitten", "retire": ["A"] }), "spec.retire[0]"),
        (json!({ "source": "builtin:kitten", "aliases": ["a b"] }), "spec.aliases[0]"),
        (json!({ "source": "builtin:kitten", "aliases": ["a", "a"] }), "spec.aliases"),
        (json!({ "source": "builtin:kitten", "priority": 1_000_001 }), "spec.priority"),
        (json!({ "source": "builtin:kitten", "rollout": { "surge": 1001 } }), "spec.rollout.surge"),
        (json!({ "source": "builtin:kitten", "resources": { "memory": 1.5 } }), "spec.resources.memory"),
        (json!({ "source": "builtin:kitten", "resources": { "memory": "6Gb" } }), "spec.resources.memory"),
        (json!({ "source": "builtin:kitten", "placement": { "spread": "a zone" } }), "spec.placement.spread"),
        (accelerators("nvidia.com/gpu", 0), "spec.placement.accelerators.count"),
        (accelerators("nvidia.com/gpu", 65), "spec.placement.accelerators.count"),
    ];
    for (spec, field) in refused {
        let message = said(make("wrong", spec).await);
        assert!(message.contains(field), "{field}: {message}");
    }
    set(&cluster, "m", json!({ "spec": { "replicas": 3, "digest": format!("sha256:{}", "ab".repeat(32)) } }))
        .await
        .expect("what may change");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scale_subresource_scales() {
    let cluster = Cluster::new("scale").await;
    let store = cluster.desired();
    cluster
        .models()
        .create(&PostParams::default(), &Model::new("kitten", Spec::new("builtin:kitten")))
        .await
        .expect("made");
    let scale = json!({ "spec": { "replicas": 4 } });
    cluster.models().patch_scale("kitten", &PatchParams::default(), &Patch::Merge(&scale)).await.expect("scaled");
    let name: ModelName = "kitten".parse().expect("a name");
    let scaled = eventually(store.watch(), "four replicas", |models| {
        models.get(&name).is_some_and(|model| model.spec.replicas == 4)
    })
    .await;
    assert_eq!(scaled[&name].generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_in_a_secret_of_the_resource_and_old_ones_do_not_stay() {
    let cluster = Cluster::new("secrets").await;
    let store = cluster.desired();
    let mut wanted = spec("Org/Kitten");
    wanted.credentials = Some(Credentials::bearer("first"));
    store.update(&wanted.name, put(&wanted)).await.expect("recorded");
    let listed = cluster.models().list(&ListParams::default()).await.expect("a list");
    let model = &listed.items[0];
    let resource = model.metadata.name.as_deref().expect("a name");
    assert!(resource.starts_with("org-kitten-"), "{resource}");
    assert_eq!(model.spec.alias.as_deref(), Some("Org/Kitten"));
    assert!(!serde_json::to_string(model).expect("JSON").contains("first"), "no credentials in the resource");

    let secret = async || {
        let name = format!("clowder-credentials-{resource}");
        let secret: Secret = cluster.secrets().get(&name).await.expect("the Secret");
        let values = secret.data.unwrap_or_default().into_values();
        let values: Vec<String> = values.map(|value| String::from_utf8(value.0).expect("text")).collect();
        (secret.metadata.owner_references.expect("an owner"), values)
    };
    let (owners, values) = secret().await;
    assert_eq!((owners[0].kind.as_str(), owners[0].name.as_str()), ("Model", resource));
    assert_eq!(Some(&owners[0].uid), model.metadata.uid.as_ref());
    assert_eq!(values, ["first"]);

    wanted.credentials = Some(Credentials::bearer("second"));
    let changed = store.update(&wanted.name, put(&wanted)).await.expect("changed").expect("there");
    assert_eq!(changed.generation, 2, "other credentials are a change like any other");
    assert_eq!(secret().await.1, ["second"]);
    eventually(store.watch(), "the new credentials", |models| models.get(&wanted.name) == Some(&changed)).await;
    wanted.credentials = None;
    store.update(&wanted.name, put(&wanted)).await.expect("changed");
    assert!(secret().await.1.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_resource_breaks_no_other_and_a_secret_may_come_later() {
    let cluster = Cluster::new("wrong").await;
    let store = cluster.desired();
    let make = async |name: &str, spec: Value| {
        let model: Model = serde_json::from_value(json!({
            "apiVersion": "clowder.dev/v1alpha1", "kind": "Model", "metadata": { "name": name }, "spec": spec,
        }))
        .expect("a Model");
        cluster.models().create(&PostParams::default(), &model).await.expect("made");
    };
    make("wrong", json!({ "source": "kitten" })).await;
    make(
        "late",
        json!({
            "source": "builtin:kitten", "credentials": { "secretKeyRef": { "name": "hub", "key": "token" } },
        }),
    )
    .await;
    make("twin", json!({ "source": "builtin:kitten", "alias": "late" })).await;
    make("namesake", json!({ "source": "builtin:kitten", "aliases": ["late"] })).await;
    make("memory", json!({ "source": "builtin:kitten", "resources": { "memory": 0 } })).await;
    make("good", json!({ "source": "builtin:kitten" })).await;
    let (_quiet, told) = watch::channel(Arc::new(ModelStatuses::new()));
    let writer = tokio::spawn(StatusWriter::new(cluster.client.clone(), &store, told).run(CancellationToken::new()));

    let both = eventually(store.watch(), "the models that are right", |models| models.len() == 2).await;
    assert_eq!(both.keys().map(ModelName::as_str).collect::<Vec<_>>(), ["good", "late"]);
    let reasons = [
        ("wrong", "InvalidSource"),
        ("late", "SecretNotFound"),
        ("twin", "NameTaken"),
        ("namesake", "NameTaken"),
        ("memory", "InvalidResources"),
    ];
    for (name, reason) in reasons {
        let model = with_status(&cluster, name, |status| status.phase == Phase::Failed).await;
        let status = model.status.expect("a status");
        assert_eq!(status.conditions[0].reason, reason, "{name}");
        assert_eq!(status.observed_generation, 1);
    }
    let secret = json!({ "metadata": { "name": "hub" }, "stringData": { "token": "hf_secret\n" } });
    let secret: Secret = serde_json::from_value(secret).expect("a Secret");
    cluster.secrets().create(&PostParams::default(), &secret).await.expect("made");
    let late: ModelName = "late".parse().expect("a name");
    eventually(store.watch(), "the credentials", |models| {
        models.get(&late).is_some_and(|model| model.spec.credentials == Some(Credentials::bearer("hf_secret")))
    })
    .await;
    let refused = store.update(&"wrong".parse().expect("a name"), put(&spec("wrong"))).await.expect_err("refused");
    assert!(refused.to_string().contains("the Model resource wrong is there and is wrong"), "{refused}");

    let slip = json!({ "spec": { "resources": { "memory": 0 } } });
    cluster.models().patch("good", &PatchParams::default(), &Patch::Merge(&slip)).await.expect("changed");
    let good: ModelName = "good".parse().expect("a name");
    assert_eq!(store.list().await.expect("a list")[&good].spec, both[&good].spec, "it goes on as it was");
    let more = ModelSpec { replicas: 2, ..spec("good") };
    let refused = store.update(&good, put(&more)).await.expect_err("refused");
    assert!(refused.to_string().contains("the Model resource good is there and is wrong"), "{refused}");
    assert_eq!(store.update(&good, Box::new(|_| Ok(None))).await.expect("removed"), None);
    writer.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_writers_never_undo_each_other() {
    let cluster = Cluster::new("writers").await;
    let stores = [cluster.desired(), cluster.desired()];
    let wanted = spec("kitten");
    stores[0].update(&wanted.name, put(&wanted)).await.expect("recorded");
    // A status that is written in between is no change of what is asked for.
    let namespace = cluster.namespace.clone();
    let between = move |before: Option<&ModelSpec>| {
        let status = json!({ "status": { "phase": "Ready", "replicas": 0, "ready": 0, "observedGeneration": 1 } });
        let written = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = kube::Client::try_default().await.expect("a client");
                let models: Api<Model> = Api::namespaced(client, &namespace);
                models.patch_status("kitten", &PatchParams::default(), &Patch::Merge(&status)).await.expect("written");
            });
        });
        written.join().expect("written");
        Ok(before.map(|before| ModelSpec { replicas: 5, ..before.clone() }))
    };
    let changed = stores[0].update(&wanted.name, Box::new(between)).await.expect("changed").expect("there");
    assert_eq!((changed.spec.replicas, changed.generation), (5, 2));

    let raise = || -> Change {
        Box::new(|before: Option<&ModelSpec>| {
            Ok(before.map(|before| ModelSpec { replicas: before.replicas + 1, ..before.clone() }))
        })
    };
    let (mut raised, name) = (0, &wanted.name);
    for _ in 0..5 {
        let outcomes = futures::join!(stores[0].update(name, raise()), stores[1].update(name, raise()));
        for outcome in [outcomes.0, outcomes.1] {
            match outcome {
                Ok(_) => raised += 1,
                Err(error) => assert!(chain(&error).contains("somebody else changed it"), "{}", chain(&error)),
            }
        }
    }
    let left = stores[0].list().await.expect("a list")[name].spec.replicas;
    assert_eq!(left, 5 + raised, "each change that was confirmed counts once");
}

/// The resource once its status is as it should be.
async fn with_status(cluster: &Cluster, name: &str, fits: impl Fn(&clowder_k8s::status::Status) -> bool) -> Model {
    let config = Config::default().fields(&format!("metadata.name={name}"));
    let seen = watcher(cluster.models(), config).default_backoff().applied_objects();
    let seen = seen.filter_map(|model| async { model.ok() });
    eventually(seen, &format!("the status of {name}"), |model| model.status.as_ref().is_some_and(&fits)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_written_told_and_read_back() {
    let cluster = Cluster::new("status").await;
    let (store, backend) = (cluster.desired(), cluster.backend());
    let wanted = spec("kitten");
    store.update(&wanted.name, put(&wanted)).await.expect("recorded");
    let status = |phase: ModelPhase, reason: Option<&str>| {
        let status = ModelStatus {
            spec: Arc::new(wanted.clone()),
            generation: 1,
            phase,
            reason: reason.map(str::to_owned),
            facts: Some(Arc::default()),
            memory: Some(1 << 30),
            workers: Vec::new(),
            moving: false,
        };
        Arc::new(ModelStatuses::from([(wanted.name.clone(), Arc::new(status))]))
    };
    let (told, statuses_told) = watch::channel(status(ModelPhase::Pending, Some("there are no nodes")));
    let shutdown = CancellationToken::new();
    let writer = StatusWriter::new(cluster.client.clone(), &store, statuses_told).run(shutdown.clone());
    let writer = tokio::spawn(writer);
    let pending = with_status(&cluster, "kitten", |status| status.phase == Phase::Pending).await;
    assert_eq!(pending.status.expect("a status").message(), "there are no nodes");
    told.send_replace(status(ModelPhase::Ready, None));
    let ready = with_status(&cluster, "kitten", |status| status.phase == Phase::Ready).await;
    let ready = ready.status.expect("a status");
    let conditions: Vec<(&str, &str)> =
        ready.conditions.iter().map(|condition| (condition.kind.as_str(), condition.status.as_str())).collect();
    assert_eq!(conditions, [("Ready", "True"), ("Progressing", "False"), ("Degraded", "False")]);

    let read = eventually(updates(statuses(&store, &backend)), "the status read back", |statuses| {
        statuses.get(&wanted.name).is_some_and(|status| status.phase == ModelPhase::Ready)
    })
    .await;
    assert_eq!(*read[&wanted.name], *status(ModelPhase::Ready, None)[&wanted.name]);

    let events: Api<Event> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let seen = watcher(events.clone(), Config::default()).default_backoff().applied_objects();
    let seen = seen.filter_map(|event| async { event.ok() });
    eventually(seen, "the event of being ready", |event| event.reason.as_deref() == Some("Ready")).await;
    shutdown.cancel();
    writer.await.expect("it ends when told to");
    let events = events.list(&ListParams::default()).await.expect("events").items;
    let mut reasons: Vec<&str> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["Pending", "Ready"]);
    assert!(events.iter().all(|event| event.regarding.as_ref().is_some_and(|about| about.uid.is_some())));

    cluster.models().delete("kitten", &DeleteParams::default()).await.expect("deleted");
    eventually(store.watch(), "no models", |models| models.is_empty()).await;
}
