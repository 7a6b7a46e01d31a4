//! The move into the cluster: the chart is applied there, and once its controller runs, this one may end.

mod manifests;

pub(crate) use manifests::ManifestsError;

use crate::cluster::{Access, Kept, MANAGER};
use crate::flags::{ControllerImage, Typed};
use clowder_core::Secret;
use clowder_k8s::call::{CallError, call, list_all};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource};
use manifests::{FOLDER, Manifests, Values};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// How long the controller in the cluster may take to run; its image is pulled meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);

/// Names of the Secret's keys.
const OXIDE_TOKEN: &str = "oxide.token";
const TAILSCALE_KEY: &str = "tailscale-auth.key";
const POOLS: &str = "pools.toml";

/// Flags that are about this process, or that the chart or the Secret has.
const OWN: [&str; 17] = [
    "oxide-api-url",
    "oxide-token",
    "oxide-profile",
    "user-ssh-public-key",
    "tailscale-auth-key",
    "tailscale-api-key",
    "worker-count",
    "pools",
    "kubeconfig",
    "kubeconfig-overwrite",
    "state-dir",
    "address",
    "no-pivot",
    "controller-oci-image",
    "in-cluster",
    "dry-run",
    "destroy",
];

/// Why the controller does not run in the cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PivotError {
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
    #[error("the controller cannot be installed into the cluster: {kind} {name}")]
    Apply { kind: String, name: String, source: CallError },
    #[error(
        "the controller does not run in the cluster after {PATIENCE:?}: {why}; name an image that it can pull with --controller-oci-image, or go on here with --no-pivot"
    )]
    NotRunning { why: String },
    #[error("the controller in the cluster cannot be watched")]
    Watch(#[source] kube::runtime::wait::Error),
    #[error("the cluster cannot be asked")]
    Call(#[from] CallError),
}

/// What goes into the cluster besides what is kept of it anyway.
pub(crate) struct Luggage {
    /// The rack's URL and the token for it.
    pub(crate) url: String,
    pub(crate) token: Secret,
    /// The key with which machines join a tailnet.
    pub(crate) tailscale_key: Option<Secret>,
    /// The public key for SSH.
    pub(crate) ssh_key: Option<String>,
    /// The file of further pools.
    pub(crate) pools: Option<String>,
}

impl Luggage {
    /// What of it the Secret has.
    pub(crate) fn files(&self) -> BTreeMap<String, Secret> {
        let files = [
            (OXIDE_TOKEN, Some(self.token.clone())),
            (TAILSCALE_KEY, self.tailscale_key.clone()),
            (POOLS, self.pools.clone().map(Secret::new)),
        ];
        files.into_iter().filter_map(|(name, file)| Some((name.to_owned(), file?))).collect()
    }

    /// The controller's arguments in the cluster: those that were given here, with what is secret in files.
    fn args(&self, typed: &Typed) -> Vec<String> {
        let mut args = typed.given(&OWN);
        args.push(format!("--oxide-api-url={}", self.url));
        if self.tailscale_key.is_some() {
            args.push(format!("--tailscale-auth-key=file:{FOLDER}/{TAILSCALE_KEY}"));
        }
        if let Some(key) = &self.ssh_key {
            args.push(format!("--user-ssh-public-key={key}"));
        }
        if self.pools.is_some() {
            args.push(format!("--pools={FOLDER}/{POOLS}"));
        }
        args
    }
}

/// Installs the controller into the cluster, and returns once it runs there.
pub(crate) async fn pivot(
    access: &Access,
    kept: &Kept,
    image: &ControllerImage,
    luggage: &Luggage,
    typed: &Typed,
) -> Result<(), PivotError> {
    let args = luggage.args(typed);
    let all = Manifests::new(Values { namespace: &kept.namespace, secret: &kept.name, image, args: &args })?;
    let client = access.client()?;
    apply(Api::namespaced(client.clone(), &kept.namespace), &all.account).await?;
    apply(Api::all(client.clone()), &all.cluster_role).await?;
    apply(Api::all(client.clone()), &all.cluster_binding).await?;
    apply(Api::namespaced(client.clone(), &kept.namespace), &all.role).await?;
    apply(Api::namespaced(client.clone(), &kept.namespace), &all.binding).await?;
    apply(Api::namespaced(client.clone(), &kept.namespace), &all.service).await?;
    let name = apply(Api::namespaced(client.clone(), &kept.namespace), &all.deployment).await?;
    running(&client, &kept.namespace, &name).await
}

/// Has a resource be so, and says what it is called.
async fn apply<K>(api: Api<K>, resource: &K) -> Result<String, PivotError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = resource.meta().name.clone().unwrap_or_default();
    let params = PatchParams::apply(MANAGER).force();
    let applied = call(api.patch(&name, &params, &Patch::Apply(typed(resource)))).await;
    applied.map_err(|source| PivotError::Apply { kind: K::kind(&()).into_owned(), name: name.clone(), source })?;
    Ok(name)
}

/// A resource with its kind, which applying asks for.
fn typed<K: Resource<DynamicType = ()> + Serialize>(resource: &K) -> serde_json::Value {
    let mut value = serde_json::to_value(resource).unwrap_or_default();
    value["apiVersion"] = K::api_version(&()).into();
    value["kind"] = K::kind(&()).into();
    value
}

async fn running(client: &Client, namespace: &str, name: &str) -> Result<(), PivotError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let runs = await_condition(deployments, name, |found: Option<&Deployment>| found.is_some_and(is_running));
    match tokio::time::timeout(PATIENCE, runs).await {
        Ok(outcome) => outcome.map(drop).map_err(PivotError::Watch),
        Err(_) => {
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let own = ListParams::default().labels("app.kubernetes.io/name=oxide-controller");
            Err(PivotError::NotRunning { why: why_not(&list_all(&pods, own).await?) })
        }
    }
}

/// Whether the newest Pod, and no other, is there and ready.
fn is_running(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or_default() > 0
        && status.available_replicas == status.updated_replicas
        && status.replicas == status.updated_replicas
}

/// What its Pod waits for.
fn why_not(pods: &[Pod]) -> String {
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref());
    let containers = statuses.flat_map(|status| status.container_statuses.iter().flatten());
    let mut waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    let said = waiting.find_map(|waiting| match (&waiting.reason, &waiting.message) {
        (Some(reason), Some(message)) => Some(format!("{reason} ({message})")),
        (Some(reason), None) => Some(reason.clone()),
        _ => None,
    });
    let said =
        said.unwrap_or_else(|| if pods.is_empty() { "it has no Pod" } else { "its Pod is not ready" }.to_owned());
    said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::typed;
    use serde_json::json;

    #[test]
    fn the_controller_there_is_told_what_this_one_was_and_no_secret() {
        let words = "--cluster-project home --oxide-token t-secret --worker-count 3 --worker-memory 8 -v1 --no-pivot=false \
                     --tailscale-auth-key k-secret --tailscale-api-key a-secret --tailscale-tailnet t.ts.net --pools p.toml";
        let luggage = Luggage {
            url: "https://rack.example".to_owned(),
            token: Secret::new("t-secret"),
            tailscale_key: Some(Secret::new("k-secret")),
            ssh_key: Some("ssh-ed25519 AAAA me".to_owned()),
            pools: Some("[pools]".to_owned()),
        };
        let args = luggage.args(&typed(words).unwrap());
        insta::assert_snapshot!(args.join("\n"));
        assert!(!args.concat().contains("secret"), "{args:?}");
        let files: Vec<String> = luggage.files().into_keys().collect();
        assert_eq!(files, ["oxide.token", "pools.toml", "tailscale-auth.key"]);
        // What is left out is a flag that there is.
        let command = crate::flags::command();
        for flag in OWN {
            assert!(command.get_arguments().any(|arg| arg.get_long() == Some(flag)), "{flag}");
        }
    }

    #[test]
    fn it_runs_when_the_newest_pod_is_there_alone() {
        let deployment = |status| {
            let deployment =
                json!({"metadata": {"generation": 2}, "spec": {"selector": {}, "template": {}}, "status": status});
            is_running(&serde_json::from_value(deployment).unwrap())
        };
        let now = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
        assert!(deployment(now.clone()));
        for (field, value) in
            [("observedGeneration", 1), ("updatedReplicas", 0), ("availableReplicas", 0), ("replicas", 2)]
        {
            let mut other = now.clone();
            other[field] = value.into();
            assert!(!deployment(other), "{field}");
        }
        assert!(!deployment(json!({})));
    }

    #[test]
    fn what_its_pod_waits_for_is_said() {
        let pod = json!({"metadata": {}, "status": {"containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such\nimage"}}}]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(why_not(&[pod]), "ImagePullBackOff (no such image)");
        assert_eq!(why_not(&[]), "it has no Pod");
    }
}
