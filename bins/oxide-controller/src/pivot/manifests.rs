//! The chart, as it is rendered, made this cluster's.

use crate::flags::ControllerImage;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding, Subject};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// `charts/oxide-controller` with its default values; tools/check-manifests.sh holds it to the chart.
const RENDERED: &str = include_str!("manifests.yaml");

/// The folder of the Pod in which the Secret is, as the chart has it.
pub(super) const FOLDER: &str = "/etc/oxide-controller";

/// All that the controller is in a cluster.
#[derive(Clone, Debug)]
pub(super) struct Manifests {
    pub(super) account: ServiceAccount,
    pub(super) cluster_role: ClusterRole,
    pub(super) cluster_binding: ClusterRoleBinding,
    pub(super) role: Role,
    pub(super) binding: RoleBinding,
    pub(super) service: Service,
    pub(super) deployment: Deployment,
}

/// The chart does not have what this program expects of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestsError {
    #[error("the chart in this program cannot be read")]
    Yaml(#[source] serde_saphyr::Error),
    #[error("the chart in this program has no {kind} that can be read")]
    Missing { kind: &'static str, source: Option<serde_json::Error> },
}

/// What a cluster's own is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) namespace: &'a str,
    pub(super) secret: &'a str,
    pub(super) image: &'a ControllerImage,
    /// Further arguments of the controller.
    pub(super) args: &'a [String],
}

impl Manifests {
    /// The controller of one cluster.
    pub(super) fn new(values: Values<'_>) -> Result<Self, ManifestsError> {
        let mut all = Self::rendered()?;
        let namespace = || Some(values.namespace.to_owned());
        all.account.metadata.namespace = namespace();
        all.role.metadata.namespace = namespace();
        all.binding.metadata.namespace = namespace();
        all.service.metadata.namespace = namespace();
        all.deployment.metadata.namespace = namespace();
        let subjects = all.binding.subjects.iter_mut().chain(&mut all.cluster_binding.subjects).flatten();
        subjects.for_each(|subject: &mut Subject| subject.namespace = namespace());

        let missing = || ManifestsError::Missing { kind: "container", source: None };
        let pod = all.deployment.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()).ok_or_else(missing)?;
        let [container] = pod.containers.as_mut_slice() else { return Err(missing()) };
        container.image = Some(values.image.as_str().to_owned());
        container.args.get_or_insert_default().extend_from_slice(values.args);
        let mounted = pod.volumes.iter_mut().flatten().filter_map(|volume| volume.secret.as_mut());
        mounted.for_each(|secret| secret.secret_name = Some(values.secret.to_owned()));
        Ok(all)
    }

    fn rendered() -> Result<Self, ManifestsError> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(RENDERED).map_err(ManifestsError::Yaml)?;
        Ok(Self {
            account: of_kind(&documents, "ServiceAccount")?,
            cluster_role: of_kind(&documents, "ClusterRole")?,
            cluster_binding: of_kind(&documents, "ClusterRoleBinding")?,
            role: of_kind(&documents, "Role")?,
            binding: of_kind(&documents, "RoleBinding")?,
            service: of_kind(&documents, "Service")?,
            deployment: of_kind(&documents, "Deployment")?,
        })
    }
}

fn of_kind<K: DeserializeOwned>(documents: &[Value], kind: &'static str) -> Result<K, ManifestsError> {
    let found = documents.iter().find(|document| document["kind"] == kind);
    let found = found.ok_or(ManifestsError::Missing { kind, source: None })?;
    K::deserialize(found).map_err(|source| ManifestsError::Missing { kind, source: Some(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_becomes_the_clusters() {
        let image = "registry.example/clowder:1.2".parse().unwrap();
        let args = ["--cluster-project=home".to_owned()];
        let values = Values { namespace: "machines", secret: "kept", image: &image, args: &args };
        let all = Manifests::new(values).unwrap();
        let pod = all.deployment.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.containers[0].image.as_deref(), Some("registry.example/clowder:1.2"));
        let given = pod.containers[0].args.clone().unwrap();
        assert_eq!(given.last().map(String::as_str), Some("--cluster-project=home"));
        assert!(given.contains(&format!("--state-dir={FOLDER}")), "{given:?}");
        assert_eq!(pod.volumes.unwrap()[0].secret.as_ref().unwrap().secret_name.as_deref(), Some("kept"));
        assert_eq!(pod.containers[0].volume_mounts.as_ref().unwrap()[0].mount_path, FOLDER);
        for subjects in [all.binding.subjects, all.cluster_binding.subjects] {
            assert_eq!(subjects.unwrap()[0].namespace.as_deref(), Some("machines"));
        }
    }

    #[test]
    fn every_document_of_the_chart_is_applied() {
        let documents: Vec<Value> = serde_saphyr::from_multiple(RENDERED).unwrap();
        let kinds: Vec<&str> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
        assert_eq!(kinds.len(), 7, "{kinds:?}");
        Manifests::rendered().unwrap();
    }
}
