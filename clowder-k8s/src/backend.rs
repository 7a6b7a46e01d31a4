//! Workers as Pods.

mod logs;
mod observer;

use crate::call::{CallError, call};
use crate::desired::{KubernetesDesired, View};
use crate::names::{FIELD_MANAGER, MANAGED_BY_LABEL, MANAGER, WORKER_ANNOTATION};
use crate::observe;
use crate::pod::{WorkerNote, WorkerTemplate, pod, worker_secret};
use async_trait::async_trait;
use clowder_core::backend::LogOptions;
use clowder_core::plan::StartWorker;
use clowder_core::{Action, Backend, BackendError, BoxStream, Inventory, ModelName, WorkerId, WorkerState};
use k8s_openapi::api::core::v1::{Node, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource};
use observer::Observer;
use std::sync::Arc;
use tokio::sync::watch;

/// The [`Backend`] of a cluster: each worker is a Pod, which the cluster runs, restarts and drains.
///
/// It observes by watching, Pods of its namespace and all Nodes, and answers from what it has heard; while the API server
/// is away, the last state stands. A `KubernetesBackend` that only observes needs no rights to change anything.
pub struct KubernetesBackend {
    template: WorkerTemplate,
    pods: Api<Pod>,
    secrets: Api<Secret>,
    observer: Observer,
    owners: Option<watch::Receiver<Option<Arc<View>>>>,
}

/// What a Pod of the wanted name is to whoever wants it.
enum Standing {
    /// It is what is wanted.
    Fits,
    /// It has ended, and only its record is left.
    Over,
    /// It is on its way out, or belongs to another revision.
    InTheWay,
    /// It is somebody else's.
    Foreign,
}

impl KubernetesBackend {
    /// A backend that runs workers as the template says, observing from now on. To be called within a tokio runtime.
    pub fn new(client: Client, template: WorkerTemplate) -> Self {
        let pods: Api<Pod> = Api::namespaced(client.clone(), &template.namespace);
        let nodes: Api<Node> = Api::all(client.clone());
        let observer = Observer::spawn(pods.clone(), nodes);
        let secrets = Api::namespaced(client, &template.namespace);
        Self { template, pods, secrets, observer, owners: None }
    }

    /// The same, with Pods that belong to the resources of their models: `kubectl drain` takes them for what is started
    /// again elsewhere, and they go with their resource even where nobody reconciles any more.
    #[must_use]
    pub fn owned_by(mut self, desired: &KubernetesDesired) -> Self {
        self.owners = Some(desired.view());
        self
    }

    fn owner(&self, model: &ModelName) -> Option<OwnerReference> {
        self.owners.as_ref()?.borrow().as_ref()?.owner_of(model)
    }

    async fn start(&self, start: &StartWorker) -> Result<(), BackendError> {
        let inventory = self.inventory().await?;
        if !inventory.nodes.contains_key(&start.node) {
            return Err(BackendError::UnknownNode { node: start.node.clone() });
        }
        // The Secret comes first: a Pod is bound and started as soon as it is there.
        self.put_credentials(start, None).await?;
        let pod = Box::pin(self.put_pod(start)).await?;
        if let Err(error) = self.put_credentials(start, Some(&pod)).await {
            // The worker has what it needs. What is missing is only that the Secret goes when the Pod does.
            tracing::warn!(worker = %start.worker, %error, "the credentials of a worker will outlast it");
        }
        Ok(())
    }

    /// There is a Pod of the worker afterwards, and it is on no way out.
    async fn put_pod(&self, start: &StartWorker) -> Result<Pod, BackendError> {
        let name = start.worker.as_str();
        let mut manifest = pod(start, &self.template);
        manifest.metadata.owner_references = self.owner(&start.spec.name).map(|owner| vec![owner]);
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        for _ in 0..2 {
            let found = match call(self.pods.patch(name, &apply, &Patch::Apply(&manifest))).await {
                Ok(pod) => pod,
                // A Pod cannot be changed: there is one, made from another template or for other credentials.
                Err(refused) if refused.code() == Some(422) => match self.get_pod(&start.worker).await? {
                    Some(pod) => self.settle(pod, start).await?,
                    None => return Err(refused.about_worker(&start.worker, "creation")),
                },
                Err(error) => return Err(error.about_worker(&start.worker, "creation")),
            };
            match standing(&found, start) {
                Standing::Fits => return Ok(found),
                Standing::InTheWay => break,
                Standing::Foreign => return Err(foreign(&start.worker, "Pod")),
                Standing::Over => self.delete(&start.worker, Some(&found)).await?,
            }
        }
        Err(BackendError::Busy { worker: start.worker.clone() })
    }

    /// A Pod that is there already and differs from what is wanted in what cannot be changed. One that serves, or may, is
    /// good enough; one that fails makes room for its better.
    async fn settle(&self, pod: Pod, start: &StartWorker) -> Result<Pod, BackendError> {
        let state = observe::worker(&pod).map(|worker| worker.state);
        let fails = matches!(state, Some(WorkerState::Backoff { .. } | WorkerState::Failed { .. }));
        if fails && matches!(standing(&pod, start), Standing::Fits) {
            self.delete(&start.worker, Some(&pod)).await?;
            return Err(BackendError::Busy { worker: start.worker.clone() });
        }
        Ok(pod)
    }

    async fn get_pod(&self, worker: &WorkerId) -> Result<Option<Pod>, BackendError> {
        call(self.pods.get_opt(worker.as_str())).await.map_err(|error| error.about_worker(worker, "look-up"))
    }

    /// The Secret with the credentials of the worker's source, where it has any; owned by its Pod once that is there.
    async fn put_credentials(&self, start: &StartWorker, owner: Option<&Pod>) -> Result<(), BackendError> {
        let owner = owner.and_then(|pod| pod.owner_ref(&()));
        let Some(secret) = worker_secret(start, &self.template, owner) else { return Ok(()) };
        let failed = |error: CallError| error.about_worker(&start.worker, "storing of the credentials");
        let there = call(self.secrets.get_opt(start.worker.as_str())).await.map_err(failed)?;
        if there.is_some_and(|there| !is_ours(there.metadata.labels.as_ref())) {
            return Err(foreign(&start.worker, "Secret"));
        }
        let apply = PatchParams::apply(FIELD_MANAGER).force();
        let stored = call(self.secrets.patch(start.worker.as_str(), &apply, &Patch::Apply(&secret))).await;
        stored.map(drop).map_err(failed)
    }

    /// Deletes a worker's Pod, with its own grace; `only` this one, where another has taken its name.
    async fn delete(&self, worker: &WorkerId, only: Option<&Pod>) -> Result<(), BackendError> {
        let mut params = DeleteParams::default();
        if let Some(pod) = only {
            params = params.preconditions(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None });
        }
        match call(self.pods.delete(worker.as_str(), &params)).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_absent() => Ok(()),
            Err(error) => Err(error.about_worker(worker, "deletion")),
        }
    }
}

fn is_ours(labels: Option<&std::collections::BTreeMap<String, String>>) -> bool {
    labels.is_some_and(|labels| labels.get(MANAGED_BY_LABEL).is_some_and(|manager| manager == MANAGER))
}

fn foreign(worker: &WorkerId, kind: &str) -> BackendError {
    let reason = format!("there is a {kind} {worker} that is none of Clowder's: rename or delete it");
    BackendError::Refused { worker: worker.clone(), reason }
}

fn standing(pod: &Pod, start: &StartWorker) -> Standing {
    let note = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(WORKER_ANNOTATION));
    let note = note.and_then(|note| serde_json::from_str::<WorkerNote>(note).ok());
    let Some(note) = note.filter(|_| is_ours(pod.metadata.labels.as_ref())) else { return Standing::Foreign };
    match observe::worker(pod).map(|worker| worker.state) {
        Some(WorkerState::Stopped) => Standing::Over,
        Some(WorkerState::Draining) => Standing::InTheWay,
        _ if note.revision != start.spec.revision() || note.model != start.spec.name => Standing::InTheWay,
        _ => Standing::Fits,
    }
}

#[async_trait]
impl Backend for KubernetesBackend {
    async fn inventory(&self) -> Result<Arc<Inventory>, BackendError> {
        self.observer.inventory().await
    }

    async fn apply(&self, action: &Action) -> Result<(), BackendError> {
        match action {
            Action::Start(start) => Box::pin(self.start(start)).await,
            Action::Stop { worker } => self.delete(worker, None).await,
            other => Err(BackendError::Refused {
                worker: other.worker().clone(),
                reason: "a cluster's workers are only started and stopped".to_owned(),
            }),
        }
    }

    fn watch(&self) -> BoxStream<Arc<Inventory>> {
        self.observer.watch()
    }

    /// While the model is being fetched, what `fetch` writes; from then on what the worker does, of its present process or
    /// of the last. With `follow`, until that process ends.
    async fn logs(
        &self,
        worker: &WorkerId,
        options: LogOptions,
    ) -> Result<BoxStream<Result<String, BackendError>>, BackendError> {
        logs::logs(&self.pods, worker, options).await
    }
}
