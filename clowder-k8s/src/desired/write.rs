//! A desired model as a resource.

use crate::model::{
    Accelerators, Adapter, Autoscaling, Cache, Canary, CredentialsReference, Draft, Engine, Model, Placement, Quantity,
    Resources, Rollout, SecretKeyReference, Spec,
};
use crate::names::credentials_secret;
use crate::observe::units;
use clowder_core::autoscale;
use clowder_core::model::{self, AcceleratorRequest, CacheRules, EngineSettings, ModelSpec, PlacementRules};
use clowder_core::secret::Credentials;
use kube::api::DynamicObject;
use serde_json::{Map, Value};

/// The fields of a resource's specification that are a record's; others are left as they are.
const FIELDS: [&str; 15] = [
    "alias",
    "aliases",
    "source",
    "digest",
    "credentials",
    "replicas",
    "autoscaling",
    "engine",
    "adapters",
    "resources",
    "placement",
    "priority",
    "rollout",
    "cache",
    "retire",
];

/// The fields within those of them that a newer version may know more of. What it knows within these in turn is not kept.
const NESTED: [(&str, &[&str]); 6] = [
    ("autoscaling", &["min", "max", "target", "scaleDownDelaySeconds"]),
    ("engine", &["context", "slots", "kvType", "threads", "gpuLayers", "draft", "extra"]),
    ("resources", &["memory"]),
    ("placement", &["pinned", "selector", "spread", "accelerators"]),
    ("rollout", &["surge", "canary"]),
    ("cache", &["pin"]),
];

/// Where a record's credentials are kept, and what has to be done for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kept {
    /// There are none.
    Nowhere,
    /// They are where they were.
    There(CredentialsReference),
    /// They are new, and go where this says.
    New(CredentialsReference, Credentials),
}

impl Kept {
    /// The place of the credentials of `after`, where `before` is what the resource asked for until now and `reference` says
    /// where its credentials are. New ones get a key of their own, so that each resource says at all times which are meant.
    pub(super) fn of(
        resource: &str,
        before: Option<&ModelSpec>,
        reference: Option<&CredentialsReference>,
        after: &ModelSpec,
    ) -> Self {
        match (&after.credentials, reference) {
            (after, Some(reference)) if before.is_some_and(|before| before.credentials == *after) => {
                Self::There(reference.clone())
            }
            (None, _) => Self::Nowhere,
            (Some(credentials), _) => {
                let key = format!("value-{:08x}", rand::random::<u32>());
                let secret_key_ref = SecretKeyReference { name: credentials_secret(resource), key };
                Self::New(CredentialsReference { kind: credentials.kind, secret_key_ref }, credentials.clone())
            }
        }
    }

    pub(super) fn reference(&self) -> Option<&CredentialsReference> {
        match self {
            Self::Nowhere => None,
            Self::There(reference) | Self::New(reference, _) => Some(reference),
        }
    }
}

/// A record as it is read again: under autoscaling, no number of replicas is kept.
pub(super) fn as_kept(mut record: ModelSpec) -> ModelSpec {
    if record.autoscaling.is_some() {
        record.replicas = 1;
    }
    record
}

/// A record as a resource of this name would say it.
pub(super) fn spec(resource: &str, record: &ModelSpec, kept: &Kept) -> Spec {
    Spec {
        alias: (record.name.as_str() != resource).then(|| record.name.to_string()),
        aliases: record.aliases.iter().map(ToString::to_string).collect(),
        source: record.source.to_string(),
        digest: record.digest.map(|digest| digest.to_string()),
        credentials: kept.reference().cloned(),
        replicas: record.autoscaling.is_none().then_some(record.replicas),
        autoscaling: record.autoscaling.as_ref().map(Autoscaling::from),
        engine: Engine::from(&record.engine),
        adapters: record.adapters.iter().map(Adapter::from).collect(),
        resources: Resources { memory: record.memory.map(|memory| Quantity::Text(memory.to_string())) },
        placement: Placement::from(&record.placement),
        priority: record.priority,
        rollout: Rollout { surge: record.rollout.surge, canary: record.rollout.canary.as_ref().map(Canary::from) },
        cache: Cache::from(&record.cache),
        retire: record.retire.iter().map(ToString::to_string).collect(),
    }
}

/// The specification of a record in a resource that is there: what has not changed goes on to be spelled as it is, the
/// resource's own name where it says it, and memory in the unit that its user took.
pub(super) fn as_spelled(mut wanted: Spec, object: &DynamicObject, record: &ModelSpec) -> Spec {
    let said = |field: &str| object.data.pointer(field).cloned().unwrap_or_default();
    if said("/spec/alias").as_str() == Some(record.name.as_str()) {
        wanted.alias = Some(record.name.to_string());
    }
    let memory: Option<Quantity> = serde_json::from_value(said("/spec/resources/memory")).unwrap_or_default();
    let same = |memory: &Quantity| record.memory.is_some() && units(&memory.to_string()) == record.memory;
    if let Some(memory) = memory.filter(same) {
        wanted.resources.memory = Some(memory);
    }
    wanted
}

/// A new resource of a record.
pub(super) fn new_resource(namespace: &str, name: &str, spec: Spec) -> Model {
    let mut model = Model::new(name, spec);
    model.metadata.namespace = Some(namespace.to_owned());
    model
}

/// A resource that is there, with another record in it. What is none of a record's business stays.
pub(super) fn changed_resource(object: &DynamicObject, spec: &Spec) -> Result<DynamicObject, serde_json::Error> {
    let Value::Object(mut fields) = serde_json::to_value(spec)? else { return Ok(object.clone()) };
    let mut object = object.clone();
    if let Some(data) = object.data.as_object_mut() {
        data.remove("status");
        let said = data.entry("spec").or_insert_with(|| Value::Object(Map::new()));
        if let Some(said) = said.as_object_mut() {
            NESTED.iter().for_each(|(field, known)| keep_unknown(field, known, said, &mut fields));
            said.retain(|field, _| !FIELDS.contains(&field.as_str()));
            said.extend(fields);
        }
    }
    object.metadata.managed_fields = None;
    Ok(object)
}

/// Takes over what an object within a resource says beyond the fields that are known.
fn keep_unknown(field: &str, known: &[&str], said: &Map<String, Value>, fields: &mut Map<String, Value>) {
    let Some(said) = said.get(field).and_then(Value::as_object) else { return };
    let mut unknown = said.iter().filter(|(name, _)| !known.contains(&name.as_str())).peekable();
    // Without autoscaling nothing of it may be left: it excludes a number of replicas.
    if unknown.peek().is_none() || field == "autoscaling" && !fields.contains_key(field) {
        return;
    }
    let wanted = fields.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if let Some(wanted) = wanted.as_object_mut() {
        wanted.extend(unknown.map(|(name, value)| (name.clone(), value.clone())));
    }
}

impl From<&EngineSettings> for Engine {
    fn from(settings: &EngineSettings) -> Self {
        let EngineSettings { context, slots, kv_type, threads, gpu_layers, draft, extra } = settings.clone();
        Self { context, slots, kv_type, threads, gpu_layers, draft: draft.as_ref().map(Draft::from), extra }
    }
}

impl From<&model::Draft> for Draft {
    fn from(draft: &model::Draft) -> Self {
        let digest = draft.digest.map(|digest| digest.to_string());
        Self { source: draft.source.to_string(), digest, tokens: draft.tokens }
    }
}

impl From<&model::Adapter> for Adapter {
    fn from(adapter: &model::Adapter) -> Self {
        let digest = adapter.digest.map(|digest| digest.to_string());
        Self { name: adapter.name.to_string(), source: adapter.source.to_string(), digest }
    }
}

impl From<&model::Canary> for Canary {
    fn from(canary: &model::Canary) -> Self {
        Self { weight: canary.weight, engine: Engine::from(&canary.engine) }
    }
}

impl From<&CacheRules> for Cache {
    fn from(rules: &CacheRules) -> Self {
        Self { pin: rules.pin }
    }
}

impl From<&autoscale::Autoscaling> for Autoscaling {
    fn from(bounds: &autoscale::Autoscaling) -> Self {
        let autoscale::Autoscaling { min, max, target, scale_down_delay } = *bounds;
        Self { min, max, target, scale_down_delay_seconds: scale_down_delay }
    }
}

impl From<&PlacementRules> for Placement {
    fn from(rules: &PlacementRules) -> Self {
        Self {
            pinned: rules.pinned.iter().map(ToString::to_string).collect(),
            selector: rules.selector.clone(),
            spread: rules.spread.clone(),
            accelerators: rules.accelerators.as_ref().map(Accelerators::from),
        }
    }
}

impl From<&AcceleratorRequest> for Accelerators {
    fn from(request: &AcceleratorRequest) -> Self {
        Self { name: request.name.clone(), count: request.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::model::KvType;
    use kube::CustomResourceExt;
    use serde_json::json;

    fn record() -> ModelSpec {
        let mut record = ModelSpec::new("Org/Kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
        record.digest = Some(format!("sha256:{}", "ab".repeat(32)).parse().unwrap());
        record.credentials = Some(Credentials::bearer("t"));
        record.replicas = 3;
        record.engine = EngineSettings {
            context: Some(9),
            slots: Some(2),
            kv_type: KvType::Q4_0,
            threads: Some(1),
            gpu_layers: None,
            draft: Some(model::Draft { tokens: Some(4), ..model::Draft::new("hf://o/r:Q4_0".parse().unwrap()) }),
            extra: [("flash_attn".to_owned(), "on".to_owned())].into(),
        };
        record.adapters.push(model::Adapter {
            name: "pirate".parse().unwrap(),
            source: "https://h/pirate.gguf".parse().unwrap(),
            digest: record.digest,
        });
        record.cache.pin = true;
        record.rollout.canary = Some(model::Canary { weight: 10, engine: EngineSettings::default() });
        record.placement.pinned.push("sled-1".into());
        record.placement.selector.insert("disk".into(), "fast".into());
        record.placement.spread = Some("topology.kubernetes.io/zone".into());
        record.placement.accelerators = Some(AcceleratorRequest { name: "nvidia.com/gpu".into(), count: 2 });
        record.aliases.insert("kitten".parse().unwrap());
        record.memory = Some(6 << 30);
        record.priority = -5;
        record.rollout.surge = Some(0);
        record.retire.push("org-kitten-00000000-1".parse().unwrap());
        record
    }

    #[test]
    fn a_record_survives_being_a_resource() {
        let scaled = autoscale::Autoscaling { min: 0, max: 9, target: 3, scale_down_delay: 60 };
        for record in [record(), as_kept(ModelSpec { autoscaling: Some(scaled), ..record() })] {
            let kept = Kept::of("org-kitten", None, None, &record);
            let spec = spec("org-kitten", &record, &kept);
            let reference = spec.credentials.as_ref().unwrap().secret_key_ref.clone();
            assert_eq!(reference.name, "clowder-credentials-org-kitten");
            let read = new_resource("clowder", "org-kitten", spec)
                .desired(|asked| (*asked == reference).then(|| clowder_core::Secret::new("t")));
            assert_eq!(read.unwrap(), record);
        }
    }

    #[test]
    fn a_name_that_is_the_resources_needs_no_alias() {
        let record = ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
        let expected = Spec { replicas: Some(1), ..Spec::new("builtin:kitten") };
        assert_eq!(spec("kitten", &record, &Kept::Nowhere), expected);
    }

    #[test]
    fn what_has_not_changed_is_spelled_as_it_was() {
        let object = json!({
            "apiVersion": "clowder.dev/v1alpha1", "kind": "Model", "metadata": { "name": "m" },
            "spec": { "source": "builtin:kitten", "alias": "m", "resources": { "memory": "6Gi" } },
        });
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let spelled = |memory: Option<u64>| {
            let mut record = ModelSpec::new("m".parse().unwrap(), "builtin:kitten".parse().unwrap());
            record.memory = memory;
            let spelled = as_spelled(spec("m", &record, &Kept::Nowhere), &object, &record);
            assert_eq!(spelled.alias.as_deref(), Some("m"));
            spelled.resources.memory.map(|memory| memory.to_string())
        };
        assert_eq!(spelled(Some(6 << 30)).as_deref(), Some("6Gi"));
        assert_eq!(spelled(Some(7 << 30)).as_deref(), Some("7516192768"));
        assert_eq!(spelled(None), None);
    }

    #[test]
    fn credentials_stay_where_they_are_until_there_are_others() {
        let (before, users) = (record(), SecretKeyReference { name: "hub".into(), key: "token".into() });
        let users = CredentialsReference { kind: Default::default(), secret_key_ref: users };
        let kept = |after: &ModelSpec| Kept::of("m", Some(&before), Some(&users), after);
        assert_eq!(kept(&ModelSpec { replicas: 9, ..record() }), Kept::There(users.clone()));
        assert_eq!(kept(&ModelSpec { credentials: None, ..record() }), Kept::Nowhere);
        let others = ModelSpec { credentials: Some(Credentials::bearer("u")), ..record() };
        let keys = [kept(&others), kept(&others)].map(|kept| kept.reference().unwrap().secret_key_ref.clone());
        assert!(keys.iter().all(|key| key.name == "clowder-credentials-m"));
        assert_ne!(keys[0].key, keys[1].key, "every change has a key of its own");
    }

    #[test]
    fn what_is_none_of_a_records_business_stays() {
        let object = json!({
            "apiVersion": "clowder.dev/v1alpha1", "kind": "Model",
            "metadata": { "name": "m", "resourceVersion": "7", "labels": { "team": "a" } },
            "spec": {
                "source": "builtin:kitten", "digest": "sha256:00", "retire": ["x"], "tomorrows": { "field": 1 },
                "autoscaling": { "max": 2, "tomorrows": 1 }, "engine": { "slots": 2, "tomorrows": 2 },
                "placement": { "pinned": ["a"], "tomorrows": 3 }, "resources": { "memory": "6Gi" },
            },
            "status": { "phase": "Ready" },
        });
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let changed = changed_resource(&object, &Spec::new("builtin:kitten")).unwrap();
        let expected = json!({
            "spec": {
                "source": "builtin:kitten", "engine": { "kvType": "f16", "tomorrows": 2 },
                "placement": { "tomorrows": 3 }, "tomorrows": { "field": 1 },
            },
        });
        assert_eq!(changed.data, expected);
        assert_eq!(changed.metadata, object.metadata);
        let scaled = autoscale::Autoscaling { max: 3, ..autoscale::Autoscaling::default() };
        let scaled = Spec { autoscaling: Some(Autoscaling::from(&scaled)), ..Spec::new("builtin:kitten") };
        let scaled = changed_resource(&object, &scaled).unwrap().data["spec"]["autoscaling"].clone();
        assert_eq!((&scaled["max"], &scaled["tomorrows"]), (&3.into(), &1.into()));
    }

    #[test]
    fn every_field_of_the_schema_is_a_records() {
        let crd = serde_json::to_value(Model::crd()).unwrap();
        let properties = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        let mut fields: Vec<&str> = properties.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = FIELDS;
        fields.sort_unstable();
        known.sort_unstable();
        assert_eq!(fields, known);
        for (field, known) in NESTED {
            let mut fields: Vec<&str> =
                properties[field]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            let mut known = known.to_vec();
            fields.sort_unstable();
            known.sort_unstable();
            assert_eq!(fields, known, "{field}");
        }
    }
}
