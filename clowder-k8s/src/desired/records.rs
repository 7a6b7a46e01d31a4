//! Resources as records of desired models: what each of them asks for, and what is wrong with it.
//!
//! One that was right and is wrong now goes on to record what it did: workers that serve are not stopped for a slip in an edit.
//! What that was is known from the view before; a process that begins while a resource is wrong cannot know it.

use super::claims::{Claim, owners, taken};
use crate::convert::InvalidModel;
use crate::model::{Model, SecretKeyReference};
use crate::status::Status;
use clowder_core::desired::{DesiredModel, DesiredModels};
use clowder_core::{ModelName, ModelSpec, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource as _;
use kube::api::DynamicObject;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A resource as it was read, right or wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recorded {
    pub(super) name: String,
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
    /// The model that it records, where it records one: what it says, or said when it was last right.
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

impl Resource {
    /// Whether the model that it records is what it said before it was wrong. A missing Secret changes nothing of a model.
    pub(crate) fn is_outdated(&self) -> bool {
        let is_wrong = |problem: &InvalidModel| !matches!(problem, InvalidModel::NoSecret { .. });
        self.model.is_some() && self.problem.as_deref().is_some_and(is_wrong)
    }
}

impl Recorded {
    /// Whether its status says that what it says now was taken in as it is.
    pub(super) fn was_right(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.observed_generation == self.generation && status.is_of_a_phase())
    }

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

    /// The resource, where it records this model and has this problem.
    fn resource(&self, model: Option<&Arc<ModelSpec>>, problem: Option<Arc<InvalidModel>>) -> Resource {
        Resource {
            uid: self.uid.clone(),
            generation: self.generation,
            model: model.map(|spec| spec.name.clone()),
            problem,
            status: self.status.clone(),
        }
    }

    fn model(&self, spec: &Arc<ModelSpec>) -> DesiredModel {
        DesiredModel { spec: Arc::clone(spec), generation: self.generation.unsigned_abs() }
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
    /// What these resources ask for. One that is wrong breaks no other, and asks for what it did `before`, if anything. One
    /// that is being deleted asks for nothing.
    ///
    /// A name, be it a model's own or a further one, is whose it was; one that nobody had goes to the model whose own it is
    /// before any that claims it as a further one, and to the oldest of either kind.
    pub(crate) fn of<'a>(
        records: impl IntoIterator<Item = &'a Recorded>,
        secret: impl Fn(&SecretKeyReference) -> Option<Secret>,
        before: Option<&Self>,
    ) -> Self {
        let mut records: Vec<&Recorded> = records.into_iter().filter(|record| !record.leaving).collect();
        records.sort_by(|a, b| (&a.created, &a.name).cmp(&(&b.created, &b.name)));
        let last = before.map(Self::by_uid).unwrap_or_default();
        let claims = records.into_iter().map(|record| {
            let (asked, problem) = record.desired(&secret);
            let problem = problem.map(Arc::new);
            Claim { record, asked: asked.map(Arc::new), problem, last: last.get(record.uid.as_str()).copied() }
        });
        let claims: Vec<Claim<'_>> = claims.collect();
        let mut owners = owners(&claims);
        let (mut desired, mut resources) = (DesiredModels::new(), BTreeMap::new());
        // A name that one gives up is there for the others, those that came before it too.
        let mut waiting = claims;
        loop {
            let there = waiting.len();
            waiting.retain(|claim| {
                let Some(spec) = claim.asked.as_ref().filter(|spec| taken(&owners, claim, spec).is_none()) else {
                    return true;
                };
                for name in claim.last.into_iter().flat_map(|last| last.names()) {
                    owners.remove(name);
                }
                owners.extend(spec.names().map(|name| (name.clone(), claim.record.name.as_str())));
                resources.insert(claim.record.name.clone(), claim.record.resource(Some(spec), claim.problem.clone()));
                desired.insert(spec.name.clone(), claim.record.model(spec));
                false
            });
            if waiting.len() == there {
                break;
            }
        }
        for claim in waiting {
            let taken = claim.asked.as_ref().and_then(|spec| taken(&owners, &claim, spec));
            let problem = taken.map(Arc::new).or(claim.problem);
            resources.insert(claim.record.name.clone(), claim.record.resource(claim.last, problem));
            if let Some(last) = claim.last {
                desired.insert(last.name.clone(), claim.record.model(last));
            }
        }
        Self { desired: Arc::new(desired), resources }
    }

    /// What each resource records.
    fn by_uid(&self) -> HashMap<&str, &Arc<ModelSpec>> {
        let recorded = self.resources.values().filter_map(|resource| {
            let record = self.desired.get(resource.model.as_ref()?)?;
            Some((resource.uid.as_str(), &record.spec))
        });
        recorded.collect()
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
        view_after(None, records)
    }

    fn view_after(before: Option<&View>, records: &[Recorded]) -> View {
        View::of(records, |reference| (reference.name == "hub").then(|| Secret::new("t")), before)
    }

    fn names(view: &View) -> Vec<&str> {
        view.desired.keys().map(ModelName::as_str).collect()
    }

    /// What is wrong with a resource, in one word.
    fn problem(view: &View, name: &str) -> Option<&'static str> {
        view.resources[name].problem.as_ref().map(|problem| problem.reason())
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
        assert!(matches!(view.resources["no-url"].problem.as_deref(), Some(InvalidModel::Source { .. })));
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
    fn what_was_right_stays_while_it_is_wrong() {
        let says = |memory: &str, more: Value| {
            let mut spec = json!({ "source": "builtin:kitten", "resources": { "memory": memory } });
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut record = recorded("m", EARLY, spec);
            record.generation += 1;
            record
        };
        let first = view(&[recorded("m", EARLY, json!({ "source": "builtin:kitten", "replicas": 3 }))]);
        let name: ModelName = "m".parse().unwrap();
        let mut before = first.clone();
        for wrong in [says("6Gb", json!({})), says("6Gi", json!({ "replicas": "many" }))] {
            before = view_after(Some(&before), &[wrong]);
            let kept = &before.desired[&name];
            assert_eq!((&kept.spec, kept.generation), (&first.desired[&name].spec, 5));
            assert!(before.resources["m"].is_outdated());
            assert_eq!(before.resource_of(&name), Some("m"));
        }
        assert_eq!(problem(&before, "m"), Some("Unreadable"));
        let mended = view_after(Some(&before), &[says("6Gi", json!({}))]);
        assert_eq!((problem(&mended, "m"), mended.desired[&name].spec.memory), (None, Some(6 << 30)));

        let mut other = says("6Gb", json!({}));
        other.uid = "another".into();
        assert_eq!(view_after(Some(&before), std::slice::from_ref(&other)).desired.len(), 0, "it never was right");
        other.uid = "uid-m".into();
        other.leaving = true;
        assert_eq!(view_after(Some(&before), &[other]), View::default());
    }

    #[test]
    fn nobody_loses_a_name_to_one_who_claims_it_later() {
        let says = |name: &str, created: &str, aliases: &[&str]| {
            recorded(name, created, json!({ "source": "builtin:kitten", "aliases": aliases }))
        };
        let before = view(&[says("old", EARLY, &["chat"]), says("new", LATE, &["gpt"])]);
        assert_eq!(names(&before), ["new", "old"]);
        for claimed in ["new", "gpt"] {
            let after = view_after(Some(&before), &[says("old", EARLY, &[claimed]), says("new", LATE, &["gpt"])]);
            assert_eq!((problem(&after, "old"), problem(&after, "new")), (Some("NameTaken"), None), "{claimed}");
            let specs = |view: &View| view.desired.values().map(|model| model.spec.clone()).collect::<Vec<_>>();
            assert_eq!(specs(&after), specs(&before), "{claimed}");
        }
        let chat = says("chat", LATE, &[]);
        let after = view_after(Some(&before), &[says("old", EARLY, &["chat"]), says("new", LATE, &["gpt"]), chat]);
        assert_eq!((problem(&after, "chat"), names(&after)), (Some("NameTaken"), vec!["new", "old"]));
        let given_up = view_after(Some(&before), &[says("old", EARLY, &["gpt"]), says("new", LATE, &[])]);
        assert_eq!((problem(&given_up, "old"), names(&given_up)), (None, vec!["new", "old"]));
    }

    #[test]
    fn who_has_just_begun_takes_the_word_of_the_status() {
        let claims = |name: &str, created: &str, aliases: &[&str], reason: &str, generation: i64| {
            let spec = json!({ "source": "builtin:kitten", "aliases": aliases });
            let mut record = recorded(name, created, spec);
            let status = json!({
                "phase": "Ready", "replicas": 1, "ready": 1, "observedGeneration": generation,
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": reason, "message": "", "observedGeneration": generation,
                    "lastTransitionTime": EARLY,
                }],
            });
            record.status = serde_json::from_value(status).unwrap();
            record
        };
        let told = |reason: &str, generation: i64| {
            view(&[claims("a", EARLY, &["b"], reason, generation), claims("b", LATE, &[], "NameTaken", 4)])
        };
        assert_eq!(names(&told("Ready", 4)), ["a"], "it had the name");
        assert_eq!(names(&told("Ready", 3)), ["b"], "what it had then may have been another");
        assert_eq!(names(&told("NameTaken", 4)), ["b"]);
    }

    #[test]
    fn a_further_name_is_a_name() {
        let records = [
            recorded("chatty", EARLY, json!({ "source": "builtin:kitten", "aliases": ["chat"] })),
            recorded("old", EARLY, json!({ "source": "builtin:kitten", "aliases": ["gpt"] })),
            recorded("chat", LATE, json!({ "source": "builtin:kitten" })),
            recorded("new", LATE, json!({ "source": "builtin:kitten", "aliases": ["gpt-2", "gpt"] })),
            recorded("newer", "2026-01-03T00:00:00Z", json!({ "source": "builtin:kitten", "aliases": ["gpt-2"] })),
        ];
        let view = view(&records);
        let problem =
            |name: &str| view.resources[name].problem.as_ref().map(|problem| (problem.reason(), problem.to_string()));
        let taken = |told: &str| Some(("NameTaken", told.to_owned()));
        assert_eq!(
            problem("chatty"),
            taken("the name \"chat\" is taken by the Model chat: take it out of spec.aliases")
        );
        assert_eq!(problem("chat"), None, "its own name is before a further one of another");
        assert_eq!(problem("new"), taken("the name \"gpt\" is taken by the Model old: take it out of spec.aliases"));
        assert_eq!(problem("newer"), None, "what is refused takes no name");
        assert_eq!(names(&view), ["chat", "newer", "old"]);
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
