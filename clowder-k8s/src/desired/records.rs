//! Resources as records of desired models: what each of them asks for, and what is wrong with it.

use crate::convert::InvalidModel;
use crate::model::{Model, SecretKeyReference};
use crate::status::Status;
use clowder_core::desired::{DesiredModel, DesiredModels};
use clowder_core::{ModelName, ModelSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource as _;
use kube::api::DynamicObject;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A resource as it was read, right or wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recorded {
    name: String,
    uid: String,
    generation: i64,
    created: Option<Time>,
    leaving: bool,
    /// What it says, or why that cannot be read.
    model: Result<Model, String>,
    status: Option<Status>,
}

/// A resource, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resource {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// The model that it records, where it records one.
    pub(crate) model: Option<ModelName>,
    /// What is wrong with it.
    pub(crate) problem: Option<Arc<InvalidModel>>,
    /// The status it has.
    pub(crate) status: Option<Status>,
}

/// All resources, and the models that they record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) desired: Arc<DesiredModels>,
    /// By their own names.
    pub(crate) resources: BTreeMap<String, Resource>,
}

impl Recorded {
    /// A resource as the API server hands it out; `None` where it has no name.
    pub(crate) fn read(object: &DynamicObject) -> Option<Self> {
        let mut object = object.clone();
        let metadata = object.metadata.clone();
        // A status that another version of Clowder wrote is no reason not to serve.
        let status = object.data.as_object_mut().and_then(|data| data.remove("status"));
        Some(Self {
            name: metadata.name?,
            uid: metadata.uid.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp,
            leaving: metadata.deletion_timestamp.is_some(),
            model: object.try_parse().map_err(|error| error.to_string()),
            status: status.and_then(|status| serde_json::from_value(status).ok()),
        })
    }

    /// The value of a Secret that it refers to.
    pub(crate) fn secret(&self) -> Option<&SecretKeyReference> {
        Some(&self.model.as_ref().ok()?.spec.credentials.as_ref()?.secret_key_ref)
    }

    /// The model that it asks for, with its credentials where there are any, and what is wrong with it.
    ///
    /// A Secret that is not there leaves the model as it is, without credentials: workers that serve have no need of them.
    fn desired(
        &self,
        secret: impl Fn(&SecretKeyReference) -> Option<Secret>,
    ) -> (Option<ModelSpec>, Option<InvalidModel>) {
        let model = match &self.model {
            Ok(model) => model,
            Err(error) => return (None, Some(InvalidModel::Unreadable { error: error.clone() })),
        };
        match model.desired(secret) {
            Ok(spec) => (Some(spec), None),
            Err(missing @ InvalidModel::NoSecret { .. }) => {
                let mut without = model.clone();
                without.spec.credentials = None;
                match without.desired(|_| None) {
                    Ok(spec) => (Some(spec), Some(missing)),
                    Err(error) => (None, Some(error)),
                }
            }
            Err(error) => (None, Some(error)),
        }
    }
}

impl View {
    /// What these resources ask for. One that is wrong is left out and breaks no other; of those that claim the same name,
    /// as their model's own or as a further one, the oldest has it. One that is being deleted asks for nothing.
    pub(crate) fn of<'a>(
        records: impl IntoIterator<Item = &'a Recorded>,
        secret: impl Fn(&SecretKeyReference) -> Option<Secret>,
    ) -> Self {
        let mut records: Vec<&Recorded> = records.into_iter().filter(|record| !record.leaving).collect();
        records.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
        let mut desired = DesiredModels::new();
        let mut owners: BTreeMap<ModelName, &str> = BTreeMap::new();
        let mut resources = BTreeMap::new();
        for record in records {
            let (spec, mut problem) = record.desired(&secret);
            let mut model = None;
            if let Some(spec) = spec {
                let taken = spec.names().find_map(|name| Some((name.clone(), (*owners.get(name)?).to_owned())));
                if let Some((name, by)) = taken {
                    let own = name == spec.name;
                    let taken =
                        if own { InvalidModel::NameTaken { name, by } } else { InvalidModel::AliasTaken { name, by } };
                    problem = Some(taken);
                } else {
                    owners.extend(spec.names().map(|name| (name.clone(), record.name.as_str())));
                    model = Some(spec.name.clone());
                    let generation = record.generation.unsigned_abs();
                    desired.insert(spec.name.clone(), DesiredModel { spec: Arc::new(spec), generation });
                }
            }
            let resource = Resource {
                uid: record.uid.clone(),
                generation: record.generation,
                model,
                problem: problem.map(Arc::new),
                status: record.status.clone(),
            };
            resources.insert(record.name.clone(), resource);
        }
        Self { desired: Arc::new(desired), resources }
    }

    /// The name of the resource that a model is recorded in.
    pub(crate) fn resource_of(&self, model: &ModelName) -> Option<&str> {
        let found = self.resources.iter().find(|(_, resource)| resource.model.as_ref() == Some(model));
        found.map(|(name, _)| name.as_str())
    }

    /// The resource that a model is recorded in, as what controls the Pods of its workers.
    pub(crate) fn owner_of(&self, model: &ModelName) -> Option<OwnerReference> {
        let name = self.resource_of(model)?;
        Some(OwnerReference {
            api_version: Model::api_version(&()).into_owned(),
            block_owner_deletion: None,
            controller: Some(true),
            kind: Model::kind(&()).into_owned(),
            name: name.to_owned(),
            uid: self.resources.get(name)?.uid.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[allow(clippy::needless_pass_by_value, reason = "what json! makes is handed over")]
    fn recorded(name: &str, created: &str, spec: Value) -> Recorded {
        let metadata = json!({
            "name": name, "namespace": "clowder", "uid": format!("uid-{name}"), "generation": 4,
            "resourceVersion": "9", "creationTimestamp": created,
        });
        let object = json!({
            "apiVersion": "clowder.dev/v1alpha1", "kind": "Model", "metadata": metadata, "spec": spec,
            "status": { "phase": "Ready", "replicas": 1, "ready": 1, "observedGeneration": 3 },
        });
        Recorded::read(&serde_json::from_value(object).unwrap()).unwrap()
    }

    fn view(records: &[Recorded]) -> View {
        View::of(records, |reference| (reference.name == "hub").then(|| Secret::new("t")))
    }

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-02T00:00:00Z";

    #[test]
    fn a_wrong_resource_breaks_no_other() {
        let records = [
            recorded("good", EARLY, json!({ "source": "builtin:kitten" })),
            recorded("no-url", EARLY, json!({ "source": "kitten" })),
            recorded("unreadable", EARLY, json!({ "source": "builtin:kitten", "replicas": "many" })),
        ];
        let view = view(&records);
        assert_eq!(view.desired.keys().map(ModelName::as_str).collect::<Vec<_>>(), ["good"]);
        assert_eq!(view.desired.values().next().unwrap().generation, 4);
        assert_eq!(view.resources["good"].problem, None);
        assert!(matches!(view.resources["no-url"].problem.as_deref(), Some(InvalidModel::Source(_))));
        let unreadable = view.resources["unreadable"].problem.as_ref().unwrap().to_string();
        assert!(unreadable.contains("many"), "{unreadable}");
        assert_eq!(view.resource_of(&"good".parse().unwrap()), Some("good"));
        let owner = view.owner_of(&"good".parse().unwrap()).unwrap();
        assert_eq!((owner.kind.as_str(), owner.uid.as_str(), owner.controller), ("Model", "uid-good", Some(true)));
        assert_eq!(view.owner_of(&"no-url".parse().unwrap()), None);
    }

    #[test]
    fn of_two_with_one_name_the_older_has_it() {
        let records = [
            recorded("a", LATE, json!({ "source": "builtin:kitten", "alias": "kitten" })),
            recorded("kitten", EARLY, json!({ "source": "builtin:kitten", "replicas": 3 })),
        ];
        let view = view(&records);
        assert_eq!(view.desired.values().next().unwrap().spec.replicas, 3);
        let taken = view.resources["a"].problem.as_ref().unwrap().to_string();
        assert_eq!(taken, "the name \"kitten\" is taken by the Model kitten: give another in spec.alias");
    }

    #[test]
    fn a_further_name_is_a_name() {
        let records = [
            recorded("old", EARLY, json!({ "source": "builtin:kitten", "aliases": ["gpt", "chat"] })),
            recorded("chat", LATE, json!({ "source": "builtin:kitten" })),
            recorded("new", LATE, json!({ "source": "builtin:kitten", "aliases": ["gpt-2", "gpt"] })),
            recorded("newer", "2026-01-03T00:00:00Z", json!({ "source": "builtin:kitten", "aliases": ["gpt-2"] })),
        ];
        let view = view(&records);
        let problem =
            |name: &str| view.resources[name].problem.as_ref().map(|problem| (problem.reason(), problem.to_string()));
        let taken = |told: &str| Some(("NameTaken", told.to_owned()));
        assert_eq!(problem("chat"), taken("the name \"chat\" is taken by the Model old: give another in spec.alias"));
        assert_eq!(problem("new"), taken("the name \"gpt\" is taken by the Model old: take it out of spec.aliases"));
        assert_eq!(problem("newer"), None, "what is refused takes no name");
        assert_eq!(view.desired.keys().map(ModelName::as_str).collect::<Vec<_>>(), ["newer", "old"]);
    }

    #[test]
    fn a_secret_that_is_missing_leaves_the_model_as_it_is() {
        let credentials = |secret: &str| json!({ "secretKeyRef": { "name": secret, "key": "token" } });
        let records = [
            recorded("here", EARLY, json!({ "source": "builtin:kitten", "credentials": credentials("hub") })),
            recorded("gone", EARLY, json!({ "source": "builtin:kitten", "credentials": credentials("none") })),
        ];
        let view = view(&records);
        let spec = |name: &str| &view.desired[&name.parse::<ModelName>().unwrap()].spec;
        assert_eq!(spec("here").credentials.as_ref().unwrap().value, Secret::new("t"));
        assert_eq!(spec("gone").credentials, None);
        assert!(matches!(view.resources["gone"].problem.as_deref(), Some(InvalidModel::NoSecret { .. })));
    }

    #[test]
    fn one_that_is_being_deleted_asks_for_nothing() {
        let mut leaving = recorded("m", EARLY, json!({ "source": "builtin:kitten" }));
        leaving.leaving = true;
        assert_eq!(view(&[leaving]), View::default());
    }

    #[test]
    fn a_status_of_another_version_is_none() {
        let object = json!({
            "apiVersion": "clowder.dev/v1alpha1", "kind": "Model", "metadata": { "name": "m" },
            "spec": { "source": "builtin:kitten" }, "status": { "phase": 7 },
        });
        let record = Recorded::read(&serde_json::from_value(object).unwrap()).unwrap();
        assert_eq!(record.status, None);
        assert!(record.model.is_ok());
    }
}
