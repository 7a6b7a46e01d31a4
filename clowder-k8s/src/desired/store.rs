//! The [`DesiredStore`] of a cluster.

use super::records::{Recorded, View};
use super::secrets::Secrets;
use super::write::{Kept, as_kept, as_spelled, changed_resource, new_resource, spec};
use crate::call::{CallError, call};
use crate::convert::InvalidModel;
use crate::mirror::{Events, Mirror, Reading, events};
use crate::model::{Model, SecretKeyReference};
use crate::names::{MANAGED_BY_LABEL, MANAGER, credentials_secret, hashed_name, resource_name};
use async_trait::async_trait;
use clowder_core::desired::{Change, DesiredError, DesiredModel, DesiredModels, check_names};
use clowder_core::{BoxStream, DesiredStore, ModelName, ModelSpec, chain, send_if_new, until};
use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::watcher::Config;
use kube::{Api, Client, Resource as _};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::WatchStream;
use tokio_util::task::AbortOnDropHandle;

/// Models that are recorded at most.
const MOST_MODELS: usize = 10_000;
/// How often a change is tried that others' changes of the same resource come in between of.
const MOST_TRIES: u32 = 8;
/// The wait after the first of them that failed; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// What the users of a cluster asked for, in its `Model` resources.
///
/// The resources may be written by anybody: through this, with `kubectl`, by GitOps tools. One that is wrong breaks no other,
/// goes on to ask for what it did when it was last seen to be right, and its own status says what is wrong with it.
/// Credentials that are given through this are kept in Secrets that go with their resource.
///
/// Nothing here changes a resource that somebody else has changed in the meantime. Where only its status or metadata were
/// changed, the change is made all the same; where it asks for something else than it did, the caller is told to try again.
pub struct KubernetesDesired {
    namespace: String,
    /// As it is read: one that cannot be read as a [`Model`] must break no list and no watch of the others.
    models: Api<DynamicObject>,
    typed: Api<Model>,
    secrets: Api<Secret>,
    /// Changes that are made through this come one after another: they are no surprise to each other.
    turn: Mutex<()>,
    view: watch::Receiver<Option<Arc<View>>>,
    desired: watch::Receiver<Option<Arc<DesiredModels>>>,
    _follower: AbortOnDropHandle<()>,
}

/// Why a change is refused before the API server is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesiredRefused {
    /// A change gave a record another name.
    #[error("the record of model {name} cannot become one of model {other}")]
    Renamed {
        /// Whose record it is.
        name: ModelName,
        /// What it should become.
        other: ModelName,
    },
    /// The resource that records the model, or would, is there, and is wrong: what it asks for now is not written over.
    #[error("the Model resource {resource} is there and is wrong ({problem}): mend it, or delete it")]
    Broken {
        /// Which.
        resource: String,
        /// What is wrong with it.
        problem: Arc<InvalidModel>,
    },
    /// The resource that would record the model is on its way out.
    #[error("the Model resource {resource} is still being deleted: try again when it is gone")]
    Leaving {
        /// Which.
        resource: String,
    },
    /// There are too many models.
    #[error("there are {MOST_MODELS} models already: remove some first")]
    TooMany,
}

/// The record was changed by somebody else while a change of it was under way.
#[derive(Debug, thiserror::Error)]
#[error("somebody else changed it at the same time: try again")]
struct ChangedMeanwhile;

/// Why a record was not written.
enum WriteError {
    /// The resource is no longer what it was read as.
    Conflict,
    Failed(DesiredError),
}

/// All resources at one moment, read from the API server itself.
struct Listing {
    objects: BTreeMap<String, DynamicObject>,
    view: View,
}

impl KubernetesDesired {
    /// The models of a namespace, watched from now on. To be called within a tokio runtime.
    pub fn new(client: Client, namespace: &str) -> Self {
        let models: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind());
        let typed: Api<Model> = Api::namespaced(client.clone(), namespace);
        let secrets: Api<Secret> = Api::namespaced(client, namespace);
        let (views, view) = watch::channel(None);
        let (publish, desired) = watch::channel(None);
        let follower = Follower {
            records: Mirror::new(Reading { key: |object| object.metadata.name.clone(), value: Recorded::read }),
            secrets: Secrets::default(),
            api: secrets.clone(),
            views,
            desired: publish,
        };
        let following = follower.follow(events(models.clone(), Config::default()));
        Self {
            namespace: namespace.to_owned(),
            models,
            typed,
            secrets,
            turn: Mutex::new(()),
            view,
            desired,
            _follower: AbortOnDropHandle::new(tokio::spawn(following)),
        }
    }

    /// All resources and what became of them, as last heard of.
    pub(crate) fn view(&self) -> watch::Receiver<Option<Arc<View>>> {
        self.view.clone()
    }

    /// The namespace of the models.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    async fn listing(&self) -> Result<Listing, DesiredError> {
        let listed = call(self.models.list(&ListParams::default())).await;
        let listed = listed.map_err(|error| error.about_record("list of Model resources"))?;
        let mut secrets = Secrets::default();
        let records: Vec<Recorded> = listed.items.iter().filter_map(Recorded::read).collect();
        secrets.refresh(&self.secrets, records.iter().filter_map(Recorded::secret)).await;
        let before = self.view.borrow().clone();
        let view = View::of(&records, |reference| secrets.get(reference), before.as_deref());
        let named = listed.items.into_iter().filter_map(|object| Some((object.metadata.name.clone()?, object)));
        Ok(Listing { objects: named.collect(), view })
    }

    async fn write(
        &self,
        listing: &Listing,
        name: &ModelName,
        before: Option<&ModelSpec>,
        after: Option<&ModelSpec>,
    ) -> Result<Option<DesiredModel>, WriteError> {
        let there = listing.view.resource_of(name).and_then(|resource| listing.objects.get_key_value(resource));
        match (there, after) {
            (None, None) => Ok(None),
            (Some((resource, object)), None) => self.remove(resource, object).await.map(|()| None),
            (None, Some(after)) => self.create(listing, name, after).await.map(Some),
            (Some((resource, object)), Some(after)) => {
                if let Some(broken) = listing.broken(resource) {
                    return Err(WriteError::Failed(DesiredError::Rejected(broken.into())));
                }
                self.replace(resource, object, before, after).await.map(Some)
            }
        }
    }

    async fn create(&self, listing: &Listing, name: &ModelName, after: &ModelSpec) -> Result<DesiredModel, WriteError> {
        let refused = |refused: DesiredRefused| WriteError::Failed(DesiredError::Rejected(refused.into()));
        if listing.objects.len() >= MOST_MODELS {
            return Err(refused(DesiredRefused::TooMany));
        }
        let resource = listing.name_for(name).map_err(refused)?;
        let kept = Kept::of(&resource, None, None, after);
        self.store_credentials(&resource, &kept, None).await?;
        let model = new_resource(&self.namespace, &resource, spec(&resource, after, &kept));
        let created = call(self.typed.create(&PostParams::default(), &model)).await;
        let created = self.written(&resource, &kept, created, &[409]).await?;
        let owner = created.owner_ref(&());
        if let Err(WriteError::Failed(error)) = self.store_credentials(&resource, &kept, owner).await {
            tracing::warn!(model = %name, error = chain(&error), "the credentials of a model will outlast it");
        }
        Ok(recorded(&created.metadata, after))
    }

    async fn replace(
        &self,
        resource: &str,
        object: &DynamicObject,
        before: Option<&ModelSpec>,
        after: &ModelSpec,
    ) -> Result<DesiredModel, WriteError> {
        let reference = object.clone().try_parse::<Model>().ok().and_then(|model| model.spec.credentials);
        let kept = Kept::of(resource, before, reference.as_ref(), after);
        let wanted = as_spelled(spec(resource, after, &kept), object, after);
        let changed = changed_resource(object, &wanted).map_err(|error| {
            let error = CallError::from(kube::Error::SerdeError(error));
            WriteError::Failed(error.about_record(format!("change of Model {resource}")))
        })?;
        self.store_credentials(resource, &kept, object.owner_ref(&kind())).await?;
        let replaced = call(self.models.replace(resource, &PostParams::default(), &changed)).await;
        let replaced = self.written(resource, &kept, replaced, &[404, 409]).await?;
        if let Some(former) = reference.filter(|former| kept.reference() != Some(former)) {
            self.drop_credentials(resource, &former.secret_key_ref).await;
        }
        Ok(recorded(&replaced.metadata, after))
    }

    async fn remove(&self, resource: &str, object: &DynamicObject) -> Result<(), WriteError> {
        let this = Preconditions {
            uid: object.metadata.uid.clone(),
            resource_version: object.metadata.resource_version.clone(),
        };
        match call(self.models.delete(resource, &DeleteParams::default().preconditions(this))).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_absent() => Ok(()),
            Err(error) if error.is_conflict() => Err(WriteError::Conflict),
            Err(error) => Err(WriteError::Failed(error.about_record(format!("deletion of Model {resource}")))),
        }
    }

    /// The outcome of writing a resource; where it was not written, credentials that were to go with it are taken back.
    /// Answers of these codes say that the resource is no longer what it was read as.
    async fn written<T>(
        &self,
        resource: &str,
        kept: &Kept,
        outcome: Result<T, CallError>,
        conflicts: &[u16],
    ) -> Result<T, WriteError> {
        let error = match outcome {
            Ok(object) => return Ok(object),
            Err(error) => error,
        };
        // A server that did not answer may have written it: then the credentials are needed.
        if let (Kept::New(reference, _), Some(_)) = (kept, error.code()) {
            self.drop_credentials(resource, &reference.secret_key_ref).await;
        }
        Err(match error {
            error if error.code().is_some_and(|code| conflicts.contains(&code)) => WriteError::Conflict,
            error => WriteError::Failed(error.about_record(format!("change of Model {resource}"))),
        })
    }

    /// Puts new credentials where the resource will say they are, beside those that it still says.
    async fn store_credentials(
        &self,
        resource: &str,
        kept: &Kept,
        owner: Option<OwnerReference>,
    ) -> Result<(), WriteError> {
        let Kept::New(reference, credentials) = kept else { return Ok(()) };
        let SecretKeyReference { name, key } = &reference.secret_key_ref;
        let value = ByteString(credentials.value.expose().as_bytes().to_vec());
        let labels: BTreeMap<_, _> = [(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned())].into();
        let owners = owner.map(|owner| vec![owner]);
        // An owner that is no more would take the Secret along: it is struck out where there is none yet.
        let patch = json!({ "metadata": { "labels": labels, "ownerReferences": owners }, "data": { key: value } });
        let patched = call(self.secrets.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await;
        let stored = match patched {
            Err(error) if error.is_absent() => {
                let secret = Secret {
                    metadata: ObjectMeta {
                        name: Some(name.clone()),
                        labels: Some(labels),
                        owner_references: owners,
                        ..ObjectMeta::default()
                    },
                    data: Some([(key.clone(), value)].into()),
                    ..Secret::default()
                };
                call(self.secrets.create(&PostParams::default(), &secret)).await
            }
            patched => patched,
        };
        match stored {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(WriteError::Conflict),
            Err(error) => {
                let what = format!("storing of the credentials of Model {resource}");
                Err(WriteError::Failed(error.about_record(what)))
            }
        }
    }

    /// Forgets credentials that no resource says any more, where they are Clowder's own.
    async fn drop_credentials(&self, resource: &str, reference: &SecretKeyReference) {
        if reference.name != credentials_secret(resource) {
            return;
        }
        let patch = json!({ "data": { reference.key.clone(): null } });
        let dropped = call(self.secrets.patch(&reference.name, &PatchParams::default(), &Patch::Merge(&patch))).await;
        if let Err(error) = dropped.map(drop).or_else(|error| if error.is_absent() { Ok(()) } else { Err(error) }) {
            tracing::warn!(secret = reference.name, error = chain(&error), "former credentials are still there");
        }
    }
}

impl Listing {
    /// Why a resource that records a model is not written: that model is not what it asks for.
    fn broken(&self, resource: &str) -> Option<DesiredRefused> {
        let found = self.view.resources.get(resource).filter(|found| found.is_outdated())?;
        Some(DesiredRefused::Broken { resource: resource.to_owned(), problem: Arc::clone(found.problem.as_ref()?) })
    }

    /// The name of a new resource for a model that none records yet.
    fn name_for(&self, model: &ModelName) -> Result<String, DesiredRefused> {
        for resource in [resource_name(model), hashed_name(model)] {
            if !self.objects.contains_key(&resource) {
                return Ok(resource);
            }
            match self.view.resources.get(&resource) {
                None => return Err(DesiredRefused::Leaving { resource }),
                Some(found) => {
                    if let Some(problem) = found.problem.clone().filter(|_| found.model.is_none()) {
                        return Err(DesiredRefused::Broken { resource, problem });
                    }
                }
            }
        }
        // Both record models of other names; the second is made for this name alone.
        Err(DesiredRefused::Leaving { resource: hashed_name(model) })
    }
}

fn kind() -> ApiResource {
    ApiResource::erase::<Model>(&())
}

fn recorded(metadata: &ObjectMeta, spec: &ModelSpec) -> DesiredModel {
    let generation = metadata.generation.unwrap_or(1).unsigned_abs();
    DesiredModel { spec: Arc::new(spec.clone()), generation }
}

#[async_trait]
impl DesiredStore for KubernetesDesired {
    async fn list(&self) -> Result<Arc<DesiredModels>, DesiredError> {
        Ok(self.listing().await?.view.desired)
    }

    async fn update(&self, name: &ModelName, change: Change) -> Result<Option<DesiredModel>, DesiredError> {
        let _turn = self.turn.lock().await;
        let mut listing = self.listing().await?;
        let before = listing.view.desired.get(name).cloned();
        let before_spec = before.as_ref().map(|model| model.spec.as_ref());
        let after = change(before_spec).map_err(DesiredError::Rejected)?.map(as_kept);
        if after.as_ref() == before_spec {
            return Ok(before);
        }
        if let Some(other) = after.as_ref().map(|after| &after.name).filter(|other| *other != name) {
            let renamed = DesiredRefused::Renamed { name: name.clone(), other: other.clone() };
            return Err(DesiredError::Rejected(renamed.into()));
        }
        let meanwhile =
            || DesiredError::Unreachable { what: format!("change of model {name}"), source: ChangedMeanwhile.into() };
        let mut wait = FIRST_WAIT;
        for _ in 0..MOST_TRIES {
            let names = after.as_ref().map_or(Ok(()), |after| check_names(&listing.view.desired, after));
            names.map_err(|taken| DesiredError::Rejected(taken.into()))?;
            match self.write(&listing, name, before_spec, after.as_ref()).await {
                Ok(model) => return Ok(model),
                Err(WriteError::Failed(error)) => return Err(error),
                Err(WriteError::Conflict) => {
                    sleep(wait.mul_f64(0.5 + rand::random::<f64>())).await;
                    wait *= 2;
                    listing = self.listing().await?;
                    if listing.view.desired.get(name).map(|model| model.spec.as_ref()) != before_spec {
                        return Err(meanwhile());
                    }
                }
            }
        }
        Err(meanwhile())
    }

    fn watch(&self) -> BoxStream<Arc<DesiredModels>> {
        WatchStream::new(self.desired.clone()).filter_map(|desired| async { desired }).boxed()
    }
}

struct Follower {
    records: Mirror<DynamicObject, String, Recorded>,
    secrets: Secrets,
    api: Api<Secret>,
    views: watch::Sender<Option<Arc<View>>>,
    desired: watch::Sender<Option<Arc<DesiredModels>>>,
}

impl Follower {
    async fn follow(mut self, mut events: Events<DynamicObject>) {
        loop {
            let due = self.secrets.due();
            let mut news = false;
            tokio::select! {
                events = events.next() => {
                    let Some(events) = events else { return };
                    for event in events {
                        match event {
                            Ok(event) => news |= self.records.take(event),
                            Err(error) => tracing::warn!(
                                error = chain(&error),
                                "Models cannot be watched now; what was last heard of them stands"
                            ),
                        }
                    }
                }
                () = until(due) => news = true,
            }
            if news && self.records.is_complete() {
                self.publish().await;
            }
        }
    }

    async fn publish(&mut self) {
        let records: Vec<Arc<Recorded>> = self.records.entries().values().map(Arc::clone).collect();
        self.secrets.refresh(&self.api, records.iter().filter_map(|record| record.secret())).await;
        let before = self.views.borrow().clone();
        let records = records.iter().map(Arc::as_ref);
        let view = View::of(records, |reference| self.secrets.get(reference), before.as_deref());
        let desired = Arc::clone(&view.desired);
        send_if_new(&self.views, Some(Arc::new(view)));
        send_if_new(&self.desired, Some(desired));
    }
}
