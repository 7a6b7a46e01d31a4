//! Builds the Pod.

use super::args::{PRE_STOP_SECONDS, TOKENS, fetch_args, runtime_args};
use super::{WorkerNote, WorkerTemplate};
use crate::names::{MANAGED_BY_LABEL, MANAGER, MODEL_LABEL, NAME_LABEL, REVISION_LABEL, WORKER, WORKER_ANNOTATION};
use clowder_core::model::AcceleratorRequest;
use clowder_core::plan::StartWorker;
use clowder_core::secret::{Credentials, CredentialsKind};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    HostPathVolumeSource, KeyToPath, Lifecycle, LifecycleHandler, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, Pod, PodSecurityContext, PodSpec, Probe, ResourceRequirements, SeccompProfile, Secret,
    SecretKeySelector, SecretVolumeSource, SecurityContext, SleepAction, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// The init container that has the node's storage manager fetch the model.
pub(crate) const FETCH_CONTAINER: &str = "fetch";
/// The container that serves it.
pub(crate) const WORKER_CONTAINER: &str = "worker";
/// The port that it serves on.
pub(crate) const PORT: u16 = 8000;
/// The key of a source's credentials in the Secret of a worker.
const CREDENTIALS_KEY: &str = "credentials";

/// The user and group of Clowder's image.
const USER: i64 = 10_001;
/// How long a worker stays bound to a node that does not answer.
const LOST_NODE_SECONDS: i64 = 60;

/// The Pod of a worker.
pub(crate) fn pod(start: &StartWorker, template: &WorkerTemplate) -> Pod {
    Pod {
        metadata: ObjectMeta {
            name: Some(start.worker.to_string()),
            namespace: Some(template.namespace.clone()),
            labels: Some(labels(start)),
            annotations: Some([(WORKER_ANNOTATION.to_owned(), note(start))].into()),
            ..ObjectMeta::default()
        },
        spec: Some(spec(start, template)),
        status: None,
    }
}

/// The Secret with the credentials of a worker's source, which is read by `fetch` alone. Without an owner it is not yet
/// bound to a Pod.
pub(crate) fn credentials_secret(
    start: &StartWorker,
    template: &WorkerTemplate,
    owner: Option<OwnerReference>,
) -> Option<Secret> {
    let credentials = start.spec.credentials.as_ref()?;
    let value = ByteString(credentials.value.expose().as_bytes().to_vec());
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(start.worker.to_string()),
            namespace: Some(template.namespace.clone()),
            labels: Some(labels(start)),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some([(CREDENTIALS_KEY.to_owned(), value)].into()),
        ..Secret::default()
    })
}

fn labels(start: &StartWorker) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    [
        label(NAME_LABEL, WORKER),
        label(MANAGED_BY_LABEL, MANAGER),
        label(MODEL_LABEL, &start.spec.name.slug()),
        label(REVISION_LABEL, &start.spec.revision().to_string()),
    ]
    .into()
}

fn note(start: &StartWorker) -> String {
    // Names and numbers as they stand: nothing in it can fail to be JSON.
    serde_json::to_string(&WorkerNote::from(start)).unwrap_or_default()
}

fn spec(start: &StartWorker, template: &WorkerTemplate) -> PodSpec {
    PodSpec {
        affinity: Some(on_node(start.node.as_str())),
        automount_service_account_token: Some(false),
        containers: vec![worker(start, template)],
        enable_service_links: Some(false),
        init_containers: Some(vec![fetch(start, template)]),
        priority_class_name: template.priority_class.clone(),
        restart_policy: Some("Always".to_owned()),
        security_context: Some(PodSecurityContext {
            fs_group: Some(USER),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        service_account_name: Some(template.service_account.clone()),
        termination_grace_period_seconds: Some(i64::try_from(template.grace.as_secs()).unwrap_or(i64::MAX)),
        tolerations: Some(tolerations(start)),
        volumes: Some(volumes(template)),
        ..PodSpec::default()
    }
}

/// The scheduler stays in charge of whether the node has what the Pod asks for.
fn on_node(node: &str) -> Affinity {
    let is_node = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![is_node]), match_expressions: None };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: vec![term] }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Nodes are often kept for those that ask for their accelerators, by a taint of the accelerators' name.
fn tolerations(start: &StartWorker) -> Vec<Toleration> {
    let of_accelerator = |asked: &AcceleratorRequest| Toleration {
        effect: Some("NoSchedule".to_owned()),
        key: Some(asked.name.clone()),
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    };
    let accelerators = start.spec.placement.accelerators.as_ref().map(of_accelerator);
    ["not-ready", "unreachable"].map(leaves_lost_node).into_iter().chain(accelerators).collect()
}

fn leaves_lost_node(taint: &str) -> Toleration {
    Toleration {
        effect: Some("NoExecute".to_owned()),
        key: Some(format!("node.kubernetes.io/{taint}")),
        operator: Some("Exists".to_owned()),
        toleration_seconds: Some(LOST_NODE_SECONDS),
        value: None,
    }
}

fn volumes(template: &WorkerTemplate) -> Vec<Volume> {
    let scratch = |name: &str, limit: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource { size_limit: Some(Quantity(limit.to_owned())), medium: None }),
        ..Volume::default()
    };
    let token = |name: &str, key: &str| Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            default_mode: Some(0o440),
            items: Some(vec![KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }]),
            secret_name: Some(template.token_secret.clone()),
            optional: None,
        }),
        ..Volume::default()
    };
    let cache = Volume {
        name: "cache".to_owned(),
        host_path: Some(HostPathVolumeSource {
            path: template.host_folder.clone(),
            type_: Some("DirectoryOrCreate".to_owned()),
        }),
        ..Volume::default()
    };
    vec![
        cache,
        scratch("model", "16Mi"),
        scratch("tmp", "256Mi"),
        token("storage-token", "storage"),
        token("worker-token", "worker"),
    ]
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn fetch(start: &StartWorker, template: &WorkerTemplate) -> Container {
    Container {
        name: FETCH_CONTAINER.to_owned(),
        command: Some(vec!["clowder-storage".to_owned()]),
        args: Some(fetch_args(start, template)),
        env: start.spec.credentials.as_ref().map(|credentials| credentials_env(start, credentials)),
        resources: Some(resources("50m", 32 << 20, 256 << 20)),
        volume_mounts: Some(vec![
            mount("cache", &template.host_folder, true),
            mount("model", "/model", false),
            mount("tmp", "/tmp", false),
            mount("storage-token", TOKENS, true),
        ]),
        ..container(template)
    }
}

fn credentials_env(start: &StartWorker, credentials: &Credentials) -> Vec<EnvVar> {
    let kind = match credentials.kind {
        CredentialsKind::Bearer => "bearer",
        CredentialsKind::Basic => "basic",
    };
    let from_secret =
        SecretKeySelector { name: start.worker.to_string(), key: CREDENTIALS_KEY.to_owned(), optional: None };
    let value_from = Some(EnvVarSource { secret_key_ref: Some(from_secret), ..EnvVarSource::default() });
    let value = EnvVar { name: "CLOWDER_CREDENTIALS".to_owned(), value: None, value_from };
    let kind = EnvVar { name: "CLOWDER_CREDENTIALS_TYPE".to_owned(), value: Some(kind.to_owned()), value_from: None };
    vec![value, kind]
}

fn worker(start: &StartWorker, template: &WorkerTemplate) -> Container {
    // The file that is mapped counts as the container's memory as soon as it is read, and more of it than the estimate
    // says may be resident at a time.
    let limit = start.memory.saturating_add(start.memory / 4);
    Container {
        name: WORKER_CONTAINER.to_owned(),
        command: Some(vec!["clowder-runtime".to_owned()]),
        args: Some(runtime_args(start, template)),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: PRE_STOP_SECONDS.cast_signed() }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ports: Some(vec![ContainerPort {
            container_port: PORT.into(),
            name: Some("http".to_owned()),
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        // A large model takes minutes to read from a slow disk.
        startup_probe: Some(probe(2, 900)),
        readiness_probe: Some(probe(5, 3)),
        liveness_probe: Some(probe(10, 6)),
        resources: Some(with_accelerators(resources("100m", start.memory, limit), start)),
        volume_mounts: Some(vec![
            mount("cache", &template.host_folder, true),
            mount("model", "/model", true),
            mount("tmp", "/tmp", false),
            mount("worker-token", TOKENS, true),
        ]),
        ..container(template)
    }
}

/// What both containers have in common.
fn container(template: &WorkerTemplate) -> Container {
    Container {
        image: Some(template.image.clone()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn probe(period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/health".to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        failure_threshold: Some(failures),
        period_seconds: Some(period),
        timeout_seconds: Some(5),
        ..Probe::default()
    }
}

/// Bytes of memory asked for, and at most; no limit of processor time, which would only slow answers down.
fn resources(cpu: &str, memory: u64, limit: u64) -> ResourceRequirements {
    let bytes = |bytes: u64| ("memory".to_owned(), Quantity(bytes.to_string()));
    ResourceRequirements {
        requests: Some([("cpu".to_owned(), Quantity(cpu.to_owned())), bytes(memory)].into()),
        limits: Some([bytes(limit)].into()),
        claims: None,
    }
}

/// An extended resource is asked for and limited to the same number: Kubernetes shares none of them.
fn with_accelerators(mut resources: ResourceRequirements, start: &StartWorker) -> ResourceRequirements {
    if let Some(AcceleratorRequest { name, count }) = &start.spec.placement.accelerators {
        for side in [&mut resources.requests, &mut resources.limits] {
            side.get_or_insert_default().insert(name.clone(), Quantity(count.to_string()));
        }
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::ModelSpec;
    use clowder_core::model::{Adapter, Draft, KvType};
    use std::sync::Arc;
    use std::time::Duration;

    fn start(change: impl FnOnce(&mut ModelSpec)) -> StartWorker {
        let mut spec = ModelSpec::new("Org/Kitten".parse().unwrap(), "hf://org/kitten-GGUF:Q8_0".parse().unwrap());
        change(&mut spec);
        let worker = clowder_core::WorkerId::nth(&spec.name, spec.revision(), 0);
        StartWorker { worker, spec: Arc::new(spec), node: "sled-1".into(), memory: 800 << 20 }
    }

    #[test]
    fn the_least_pod() {
        insta::assert_yaml_snapshot!(pod(&start(|_| ()), &WorkerTemplate::new("clowder", "clowder:dev")));
    }

    #[test]
    fn the_pod_of_a_model_that_says_everything() {
        let start = start(|spec| {
            spec.digest = Some(format!("sha256:{}", "ab".repeat(32)).parse().unwrap());
            spec.credentials = Some(Credentials::bearer("hf_secret"));
            spec.engine.context = Some(4096);
            spec.engine.slots = Some(2);
            spec.engine.kv_type = KvType::Q8_0;
            spec.engine.threads = Some(8);
            spec.engine.gpu_layers = Some(33);
            spec.engine.draft = Some(Draft::new("hf://o/r:Q4_0".parse().unwrap()));
            spec.engine.extra.insert("flash_attn".to_owned(), "on".to_owned());
            let (name, source) = ("pirate".parse().unwrap(), "https://h/pirate.gguf".parse().unwrap());
            spec.adapters.push(Adapter { name, source, digest: spec.digest });
            spec.placement.accelerators = Some(AcceleratorRequest { name: "nvidia.com/gpu".to_owned(), count: 2 });
        });
        let mut template = WorkerTemplate::new("other", "registry.example/clowder:1.0");
        template.grace = Duration::from_secs(120);
        template.priority_class = Some("models".to_owned());
        template.service_account = "workers".to_owned();
        template.token_secret = "tokens".to_owned();
        template.storage_manager = "http://storage:9000".to_owned();
        template.host_folder = "/data".to_owned();
        let pod = pod(&start, &template);
        let json = serde_json::to_string(&pod).unwrap();
        assert!(!json.contains("hf_secret"), "credentials are in the Secret alone");
        insta::assert_yaml_snapshot!(pod);
    }

    #[test]
    fn credentials_are_in_a_secret_of_the_pod() {
        let template = WorkerTemplate::new("clowder", "clowder:dev");
        assert_eq!(credentials_secret(&start(|_| ()), &template, None), None);
        let start = start(|spec| spec.credentials = Some(Credentials::bearer("hf_secret")));
        let owner = OwnerReference { name: start.worker.to_string(), kind: "Pod".into(), ..OwnerReference::default() };
        let secret = credentials_secret(&start, &template, Some(owner.clone())).unwrap();
        assert_eq!(secret.metadata.name.as_deref(), Some(start.worker.as_str()));
        assert_eq!(secret.metadata.owner_references, Some(vec![owner]));
        assert_eq!(secret.data.unwrap()[CREDENTIALS_KEY], ByteString(b"hf_secret".to_vec()));
    }
}
