//! Changes of desired state, as pure functions of what is recorded.

use crate::error::ApiError;
use clowder_core::autoscale::Autoscaling;
use clowder_core::model::{Adapter, CacheRules, EngineSettings, PlacementRules, Rollout};
use clowder_core::secret::{Credentials, CredentialsKind};
use clowder_core::source::Digest;
use clowder_core::{Inventory, ModelName, ModelSpec, ModelUrl, NodeName, Secret, Worker};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The most replicas of a model: a slip of the finger shall not plan a million workers.
const MAX_REPLICAS: u32 = 1000;
const MAX_CREDENTIALS: usize = 8192;

/// Reads a field that may be absent (`None`), `null` (`Some(None)`) or a value.
fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A request to deploy a model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateModel {
    name: Option<String>,
    aliases: Option<Vec<String>>,
    source: String,
    digest: Option<String>,
    credentials: Option<String>,
    credentials_type: Option<CredentialsKind>,
    replicas: Option<u32>,
    autoscaling: Option<Value>,
    engine: Option<Value>,
    adapters: Option<Value>,
    memory: Option<u64>,
    placement: Option<Value>,
    priority: Option<i32>,
    rollout: Option<Value>,
    cache: Option<Value>,
}

/// A request to change a model; what is absent stays.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchModel {
    aliases: Option<Vec<String>>,
    source: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    digest: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    credentials: Option<Option<String>>,
    credentials_type: Option<CredentialsKind>,
    replicas: Option<u32>,
    #[serde(default, deserialize_with = "nullable")]
    autoscaling: Option<Option<Value>>,
    engine: Option<Value>,
    adapters: Option<Value>,
    #[serde(default, deserialize_with = "nullable")]
    memory: Option<Option<u64>>,
    placement: Option<Value>,
    priority: Option<i32>,
    rollout: Option<Value>,
    cache: Option<Value>,
}

impl CreateModel {
    /// The model's name and URL, and the rest as a change of it.
    pub(super) fn into_parts(self) -> Result<(ModelName, ModelUrl, PatchModel), ApiError> {
        let source = url("source", &self.source)?;
        let name = name("name", self.name.as_deref(), &source)?;
        let patch = PatchModel {
            aliases: self.aliases,
            source: None,
            digest: self.digest.map(Some),
            credentials: self.credentials.map(Some),
            credentials_type: self.credentials_type,
            replicas: self.replicas,
            autoscaling: self.autoscaling.map(Some),
            engine: self.engine,
            adapters: self.adapters,
            memory: self.memory.map(Some),
            placement: self.placement,
            priority: self.priority,
            rollout: self.rollout,
            cache: self.cache,
        };
        Ok((name, source, patch))
    }
}

impl PatchModel {
    /// The record after this change.
    pub(super) fn apply(self, current: &ModelSpec, inventory: &Inventory) -> Result<ModelSpec, ApiError> {
        let mut spec = current.clone();
        if let Some(aliases) = self.aliases {
            let aliases = aliases.iter().map(|alias| alias.parse().map_err(|error| refused("aliases", &error)));
            spec.aliases = aliases.collect::<Result<_, _>>()?;
        }
        if let Some(source) = &self.source {
            spec.source = url("source", source)?;
        }
        match self.digest {
            Some(Some(text)) => {
                spec.digest = Some(text.parse::<Digest>().map_err(|error| refused("digest", &error))?);
            }
            Some(None) => spec.digest = None,
            // A digest is that of one source's bytes.
            None if spec.source != current.source => spec.digest = None,
            None => {}
        }
        match self.credentials {
            Some(Some(value)) => {
                let kind = self.credentials_type.unwrap_or_default();
                spec.credentials = Some(credentials("credentials", value, kind)?);
            }
            Some(None) => spec.credentials = None,
            None if self.credentials_type.is_some() => {
                let message = "`credentials_type` is given without `credentials`: send both.";
                return Err(ApiError::invalid("credentials_type", message));
            }
            // What opens one source is not told to another.
            None if spec.source != current.source => spec.credentials = None,
            None => {}
        }
        if let Some(replicas) = self.replicas {
            spec.replicas = bounded("replicas", replicas)?;
        }
        match (&self.autoscaling, self.replicas) {
            (Some(Some(bounds)), None) => spec.autoscaling = Some(autoscaling(spec.autoscaling, bounds)?),
            (Some(Some(_)), Some(_)) => {
                let message = "`replicas` and `autoscaling` exclude each other: send one of them.";
                return Err(ApiError::invalid("autoscaling", message));
            }
            // A number of replicas is what is kept to from now on.
            (Some(None) | None, Some(_)) => spec.autoscaling = None,
            // Where none is given it is that of this moment; a model that sleeps has one, as one of which nothing is said.
            (Some(None), None) => {
                if spec.autoscaling.take().is_some() {
                    spec.replicas = running(current, inventory).max(1);
                }
            }
            (None, None) => {}
        }
        if let Some(engine) = &self.engine {
            spec.engine = merged::<EngineSettings>("engine", &spec.engine, engine)?;
            check_engine("engine", &spec.engine)?;
        }
        if let Some(adapters) = self.adapters {
            spec.adapters =
                serde_json::from_value::<Vec<Adapter>>(adapters).map_err(|error| refused("adapters", &error))?;
        }
        spec.memory = self.memory.unwrap_or(spec.memory);
        spec.priority = self.priority.unwrap_or(spec.priority);
        if let Some(rollout) = &self.rollout {
            spec.rollout = merged::<Rollout>("rollout", &spec.rollout, rollout)?;
            let canary = spec.rollout.canary.as_ref();
            canary.map_or(Ok(()), |canary| check_engine("rollout.canary.engine", &canary.engine))?;
        }
        if let Some(cache) = &self.cache {
            spec.cache = merged::<CacheRules>("cache", &spec.cache, cache)?;
        }
        match &self.placement {
            Some(placement) => {
                spec.placement = merged::<PlacementRules>("placement", &spec.placement, placement)?;
                for node in &spec.placement.pinned {
                    known_node("placement", node, inventory)?;
                }
                if spec.placement.pinned.len() > most_replicas(&spec) {
                    let pins = spec.placement.pinned.len();
                    let number = if spec.autoscaling.is_some() { "autoscaling.max" } else { "replicas" };
                    let message = format!(
                        "`placement.pinned` names {pins} nodes, one for each replica: set `{number}` to {pins} or more."
                    );
                    return Err(ApiError::invalid("placement", message));
                }
            }
            // Fewer replicas need fewer pins.
            None => spec.placement.pinned.truncate(most_replicas(&spec)),
        }
        spec.check().map_err(|error| refused(error.field(), &error))?;
        Ok(spec)
    }
}

/// The seed's way to ask for a worker.
pub(super) struct AddWorker {
    pub(super) name: ModelName,
    pub(super) source: ModelUrl,
    pub(super) node: Option<NodeName>,
    pub(super) credentials: Option<Credentials>,
}

impl AddWorker {
    /// The record with one worker more; under autoscaling, with one more than there are as the fewest.
    pub(super) fn apply(self, current: Option<&ModelSpec>, inventory: &Inventory) -> Result<ModelSpec, ApiError> {
        let mut spec = match current {
            Some(spec) if spec.source != self.source => return Err(other_source(spec)),
            Some(spec) => spec.clone(),
            None => ModelSpec { replicas: 0, ..ModelSpec::new(self.name, self.source) },
        };
        spec.placement.pinned.extend(self.node);
        match &mut spec.autoscaling {
            Some(bounds) => {
                // Those that were asked for and are not there yet count too, as do the pins that come before this one.
                let there = current.map_or(0, |current| running(current, inventory)).max(bounds.min);
                let pins = u32::try_from(spec.placement.pinned.len()).unwrap_or(u32::MAX);
                bounds.min = bounded("modelAlias", there.saturating_add(1).max(pins))?;
                bounds.max = bounds.max.max(bounds.min);
            }
            None => spec.replicas = bounded("modelAlias", spec.replicas.saturating_add(1))?,
        }
        if self.credentials.is_some() {
            spec.credentials = self.credentials;
        }
        Ok(spec)
    }
}

/// The record without this worker; `None` where it was the last. A worker that is going already changes nothing.
///
/// Under autoscaling the worker is retired and nothing else changes: the demand decides how many there are, and whether
/// another comes.
pub(super) fn without_worker(spec: &ModelSpec, worker: &Worker, inventory: &Inventory) -> Option<ModelSpec> {
    if spec.retire.contains(&worker.id) || !worker.state.is_live() {
        return Some(spec.clone());
    }
    let mut spec = spec.clone();
    spec.retire.retain(|id| inventory.workers.contains_key(id));
    spec.retire.push(worker.id.clone());
    // One that its node refused is none of the replicas.
    if spec.autoscaling.is_some() || worker.refused {
        return Some(spec);
    }
    // Beside a single replica the one on trial is one more: the trial goes with it.
    if spec.replicas == 1 && spec.on_trial().is_some_and(|trial| trial.revision() == worker.revision) {
        spec.rollout.canary = None;
        return Some(spec);
    }
    spec.replicas = spec.replicas.saturating_sub(1);
    if spec.replicas == 0 {
        return None;
    }
    let is_beside = |other: &&std::sync::Arc<Worker>| {
        other.model == worker.model && other.node == worker.node && other.state.is_live()
    };
    let here = inventory.workers.values().filter(is_beside).count();
    let pins = spec.placement.pinned.iter().filter(|node| **node == worker.node).count();
    // Where every worker of the node is pinned there, this one's pin goes with it.
    if let Some(pin) = spec.placement.pinned.iter().position(|node| *node == worker.node).filter(|_| pins >= here) {
        spec.placement.pinned.remove(pin);
    }
    spec.placement.pinned.truncate(spec.replicas as usize);
    Some(spec)
}

/// The most replicas there may be of a model. Under autoscaling a record's own number says nothing: stores need not keep it.
fn most_replicas(spec: &ModelSpec) -> usize {
    spec.autoscaling.map_or(spec.replicas, |bounds| bounds.max) as usize
}

/// The replicas that a model has now: its live workers but those that are retired and, during a rollout, those that others
/// take the place of.
fn running(spec: &ModelSpec, inventory: &Inventory) -> u32 {
    let stays = |worker: &&std::sync::Arc<Worker>| {
        worker.model == spec.name && worker.state.is_live() && !worker.refused && !spec.retire.contains(&worker.id)
    };
    let (own, trial) = (spec.revision(), spec.on_trial().map(|trial| trial.revision()));
    let is_wanted = |worker: &&std::sync::Arc<Worker>| worker.revision == own || Some(worker.revision) == trial;
    let (current, old): (Vec<_>, Vec<_>) = inventory.workers.values().filter(stays).partition(is_wanted);
    let count = |workers: Vec<_>| u32::try_from(workers.len()).unwrap_or(u32::MAX);
    let (current, old) = (count(current), count(old));
    // Beside a single replica the one on trial is one more.
    let replicas = (0..current).find(|&replicas| spec.rollout.shares(replicas).total() >= current).unwrap_or(current);
    replicas.max(old)
}

pub(super) fn other_source(current: &ModelSpec) -> ApiError {
    let message = format!(
        "The model {} exists with another source, {}: take another name, or change its source with PATCH \
         /api/v1/models/{0}.",
        current.name, current.source
    );
    ApiError::conflict(message)
}

pub(super) fn url(param: &'static str, text: &str) -> Result<ModelUrl, ApiError> {
    text.trim().parse().map_err(|error| refused(param, &error))
}

/// The name given, or one made of the file's.
pub(super) fn name(param: &'static str, given: Option<&str>, source: &ModelUrl) -> Result<ModelName, ApiError> {
    if let Some(given) = given {
        return given.parse().map_err(|error| refused(param, &error));
    }
    let made = ModelName::of_source(source);
    made.map_err(|_| ApiError::missing(param, format!("`{param}` is missing, and {source} makes no name.")))
}

pub(super) fn credentials(param: &'static str, value: String, kind: CredentialsKind) -> Result<Credentials, ApiError> {
    let sendable = value.chars().all(|c| c.is_ascii_graphic()) && (1..=MAX_CREDENTIALS).contains(&value.len());
    if !sendable {
        let message = format!("`{param}` must be 1 to {MAX_CREDENTIALS} printable characters without blanks.");
        return Err(ApiError::invalid(param, message));
    }
    Ok(Credentials { kind, value: Secret::new(value) })
}

pub(super) fn known_node(param: &'static str, node: &NodeName, inventory: &Inventory) -> Result<(), ApiError> {
    if inventory.nodes.contains_key(node) {
        return Ok(());
    }
    let names: Vec<&str> = inventory.nodes.keys().take(50).map(NodeName::as_str).collect();
    let there = if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
    let asked: String = node.as_str().chars().take(80).collect();
    Err(ApiError::invalid(param, format!("`{param}`: there is no node {asked:?}; {there}.")))
}

fn refused(param: &'static str, error: &dyn std::error::Error) -> ApiError {
    ApiError::invalid(param, format!("`{param}`: {error}."))
}

fn bounded(param: &'static str, replicas: u32) -> Result<u32, ApiError> {
    if replicas <= MAX_REPLICAS {
        return Ok(replicas);
    }
    Err(ApiError::invalid(param, format!("{replicas} replicas are more than the {MAX_REPLICAS} a model may have.")))
}

/// The bounds after this change of them.
fn autoscaling(current: Option<Autoscaling>, patch: &Value) -> Result<Autoscaling, ApiError> {
    let bounds = merged::<Autoscaling>("autoscaling", &current.unwrap_or_default(), patch)?;
    bounds.check().map_err(|error| refused("autoscaling", &error))?;
    bounded("autoscaling", bounds.max)?;
    Ok(bounds)
}

/// Only what a worker's command line takes: what it refuses would be started again and again.
fn check_engine(place: &'static str, engine: &EngineSettings) -> Result<(), ApiError> {
    let bounds = [
        ("context", engine.context, EngineSettings::LEAST_CONTEXT..=u32::MAX),
        ("slots", engine.slots, 1..=EngineSettings::MOST_SLOTS),
        ("threads", engine.threads, 1..=EngineSettings::MOST_THREADS),
    ];
    let wrong = bounds.into_iter().find(|(_, value, allowed)| value.is_some_and(|value| !allowed.contains(&value)));
    match wrong {
        Some((field, _, allowed)) => {
            let bounds = match allowed.into_inner() {
                (least, u32::MAX) => format!("at least {least}"),
                (least, most) => format!("from {least} to {most}"),
            };
            let message = format!("`{place}.{field}` must be {bounds}; leave it out for the default.");
            Err(ApiError::invalid(place, message))
        }
        None => Ok(()),
    }
}

/// `current` with a JSON merge patch (RFC 7396): what is given changes, `null` goes back to the default.
fn merged<T: Serialize + DeserializeOwned>(param: &'static str, current: &T, patch: &Value) -> Result<T, ApiError> {
    if !patch.is_object() {
        return Err(ApiError::invalid(param, format!("`{param}` must be an object.")));
    }
    let mut value = serde_json::to_value(current).unwrap_or_default();
    merge(&mut value, patch);
    serde_json::from_value(value).map_err(|error| refused(param, &error))
}

/// Recursion is bounded by the parser that made `patch`.
fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(fields), Value::Object(patch)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::model::Canary;
    use clowder_core::{Node, WorkerState};
    use std::sync::Arc;

    fn spec() -> ModelSpec {
        ModelSpec::new("m".parse().unwrap(), "file:///m.gguf".parse().unwrap())
    }

    fn inventory(workers: &[(&str, &str)]) -> Inventory {
        let mut inventory = Inventory::default();
        for node in ["a", "b"] {
            inventory.nodes.insert(node.into(), Arc::new(Node::with_memory(node, 1)));
        }
        for (id, node) in workers {
            let mut worker = Worker::new(id.parse().unwrap(), "m".parse().unwrap(), (*node).into());
            worker.state = WorkerState::Ready;
            inventory.workers.insert(worker.id.clone(), Arc::new(worker));
        }
        inventory
    }

    fn patch(json: &str, current: &ModelSpec) -> Result<ModelSpec, String> {
        let patch: PatchModel = serde_json::from_str(json).map_err(|error| error.to_string())?;
        patch.apply(current, &inventory(&[])).map_err(|error| error.to_json())
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let mut before = spec();
        before.engine.slots = Some(2);
        before.credentials = Some(Credentials::bearer("t"));
        let after = patch(r#"{"engine":{"context":512},"replicas":3}"#, &before).unwrap();
        assert_eq!((after.engine.slots, after.engine.context, after.replicas), (Some(2), Some(512), 3));
        assert_eq!(after.credentials, before.credentials);
        let cleared = patch(r#"{"engine":{"slots":null},"credentials":null}"#, &after).unwrap();
        assert_eq!((cleared.engine.slots, cleared.credentials), (None, None));
    }

    #[test]
    fn credentials_stay_with_their_source() {
        let before = ModelSpec { credentials: Some(Credentials::bearer("t")), ..spec() };
        let same = patch(r#"{"source":"file:///m.gguf"}"#, &before).unwrap();
        assert_eq!(same.credentials, before.credentials);
        let moved = patch(r#"{"source":"https://other.example/m.gguf"}"#, &before).unwrap();
        assert_eq!(moved.credentials, None);
        let both = patch(r#"{"source":"https://other.example/m.gguf","credentials":"u"}"#, &before).unwrap();
        assert_eq!(both.credentials, Some(Credentials::bearer("u")));
    }

    #[test]
    fn a_digest_is_that_of_its_source() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let before = ModelSpec { digest: Some(digest.parse().unwrap()), ..spec() };
        assert_eq!(patch(r#"{"replicas":2}"#, &before).unwrap().digest, before.digest);
        assert_eq!(patch(r#"{"source":"https://other.example/m.gguf"}"#, &before).unwrap().digest, None);
    }

    #[test]
    fn refusals_name_the_field() {
        let refusals: Vec<String> = [
            r#"{"replica":1}"#,
            r#"{"replicas":-1}"#,
            r#"{"replicas":100000}"#,
            r#"{"engine":{"ctx":1}}"#,
            r#"{"engine":{"slots":0}}"#,
            r#"{"engine":{"context":1}}"#,
            r#"{"engine":7}"#,
            r#"{"placement":{"pinned":["c"]}}"#,
            r#"{"placement":{"pinned":["a","b"]}}"#,
            r#"{"source":"m.gguf"}"#,
            r#"{"digest":"md5:1"}"#,
            r#"{"credentials":"a b"}"#,
            r#"{"autoscaling":{"min":2,"max":1}}"#,
            r#"{"autoscaling":{"max":1},"replicas":2}"#,
            r#"{"autoscaling":{"most":1}}"#,
            r#"{"credentials_type":"basic"}"#,
            r#"{"aliases":["a b"]}"#,
            r#"{"aliases":["m"]}"#,
            r#"{"memory":6}"#,
            r#"{"priority":1000001}"#,
            r#"{"rollout":{"surge":1001}}"#,
            r#"{"rollout":{"wave":1}}"#,
            r#"{"placement":{"spread":"a zone"}}"#,
            r#"{"placement":{"accelerators":{"name":"nvidia.com/gpu"}}}"#,
            r#"{"placement":{"accelerators":{"name":"nvidia.com/gpu","count":65}}}"#,
        ]
        .into_iter()
        .map(|json| patch(json, &spec()).unwrap_err())
        .collect();
        insta::assert_snapshot!(refusals.join("\n"));
    }

    #[test]
    fn what_is_set_can_be_taken_back() {
        let set = r#"{"aliases":["b","a","a"],"memory":6442450944,"priority":-5,"rollout":{"surge":0},
            "placement":{"spread":"zone","accelerators":{"name":"nvidia.com/gpu","count":2}}}"#;
        let set = patch(set, &spec()).unwrap();
        assert_eq!(set.aliases.iter().map(ModelName::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((set.memory, set.priority, set.rollout.surge), (Some(6 << 30), -5, Some(0)));
        assert_eq!(set.placement.accelerators.as_ref().unwrap().count, 2);
        let more = patch(r#"{"placement":{"accelerators":{"count":3}}}"#, &set).unwrap();
        assert_eq!(more.placement.accelerators.as_ref().unwrap().name, "nvidia.com/gpu");
        assert_eq!(more.placement.spread.as_deref(), Some("zone"));
        assert_eq!(patch(r#"{"replicas":1}"#, &set).unwrap(), set, "what is not named stays");
        let back = r#"{"aliases":[],"memory":null,"priority":0,"rollout":{"surge":null},
            "placement":{"spread":null,"accelerators":null}}"#;
        assert_eq!(patch(back, &set).unwrap(), spec());
    }

    #[test]
    fn a_number_of_replicas_ends_autoscaling() {
        let scaled = patch(r#"{"autoscaling":{"min":0,"max":3}}"#, &spec()).unwrap();
        let bounds = Autoscaling { min: 0, max: 3, ..Autoscaling::default() };
        assert_eq!(scaled.autoscaling, Some(bounds));
        let more = patch(r#"{"autoscaling":{"max":5}}"#, &scaled).unwrap();
        assert_eq!(more.autoscaling, Some(Autoscaling { max: 5, ..bounds }));
        assert_eq!(patch(r#"{"engine":{"slots":2}}"#, &scaled).unwrap().autoscaling, Some(bounds));
        assert_eq!(patch(r#"{"autoscaling":null}"#, &scaled).unwrap().autoscaling, None);
        let fixed = patch(r#"{"replicas":2}"#, &scaled).unwrap();
        assert_eq!((fixed.autoscaling, fixed.replicas), (None, 2));
    }

    /// Under autoscaling, as a cluster records it: with a number of replicas that says nothing.
    fn scaled(min: u32, max: u32) -> ModelSpec {
        ModelSpec { autoscaling: Some(Autoscaling { min, max, ..Autoscaling::default() }), ..spec() }
    }

    #[test]
    fn pins_under_autoscaling_are_as_many_as_its_most() {
        let pinned = patch(r#"{"placement":{"pinned":["a","b"]}}"#, &scaled(0, 2)).unwrap();
        assert_eq!(pinned.placement.pinned.len(), 2);
        assert_eq!(patch(r#"{"priority":1}"#, &pinned).unwrap().placement, pinned.placement, "nothing is said of them");
        assert_eq!(patch(r#"{"autoscaling":{"max":1}}"#, &pinned).unwrap().placement.pinned, ["a".into()]);
        let refused = patch(r#"{"placement":{"pinned":["a","b","a"]}}"#, &pinned).unwrap_err();
        assert!(refused.contains("set `autoscaling.max` to 3 or more"), "{refused}");
    }

    #[test]
    fn what_runs_is_kept_when_autoscaling_ends() {
        let inventory = inventory(&[("m-0-0", "a"), ("m-0-1", "b"), ("m-0-2", "b")]);
        let patched = |spec: &ModelSpec, inventory: &Inventory| {
            let patch: PatchModel = serde_json::from_str(r#"{"autoscaling":null}"#).unwrap();
            let spec = patch.apply(spec, inventory).map_err(|error| error.to_json()).unwrap();
            (spec.autoscaling, spec.replicas)
        };
        assert_eq!(patched(&scaled(0, 5), &inventory), (None, 3));
        let retired = ModelSpec { retire: vec!["m-0-0".parse().unwrap()], ..scaled(0, 5) };
        assert_eq!(patched(&retired, &inventory), (None, 2));
        assert_eq!(patched(&scaled(0, 5), &Inventory::default()), (None, 1));
        let fixed = ModelSpec { replicas: 2, ..spec() };
        assert_eq!(patched(&fixed, &inventory), (None, 2), "there was none to end");
    }

    #[test]
    fn a_worker_more_and_a_worker_less_under_autoscaling() {
        let inventory = inventory(&[("m-0-0", "a"), ("m-0-1", "b"), ("m-0-2", "b")]);
        let more = |current: &ModelSpec, inventory: &Inventory, node: Option<&str>| {
            let source = "file:///m.gguf".parse().unwrap();
            let ask =
                AddWorker { name: "m".parse().unwrap(), source, node: node.map(NodeName::from), credentials: None };
            ask.apply(Some(current), inventory).map_err(|error| error.to_json()).unwrap()
        };
        let bounds = |spec: &ModelSpec| spec.autoscaling.map(|bounds| (bounds.min, bounds.max));
        let four = more(&scaled(1, 3), &inventory, None);
        assert_eq!(bounds(&four), Some((4, 4)), "one more than there are");
        assert_eq!(bounds(&more(&four, &inventory, None)), Some((5, 5)), "the fourth is on its way");
        let pinned = more(&scaled(0, 5), &Inventory::default(), Some("b"));
        assert_eq!((bounds(&pinned), &pinned.placement.pinned), (Some((1, 5)), &vec!["b".into()]));

        let spec = ModelSpec { placement: pinned.placement, ..scaled(0, 3) };
        let worker = &inventory.workers[&"m-0-1".parse().unwrap()];
        let left = without_worker(&spec, worker, &inventory).unwrap();
        assert_eq!(left, ModelSpec { retire: vec![worker.id.clone()], ..spec });
        assert_eq!(without_worker(&left, worker, &inventory), Some(left.clone()), "asking again changes nothing");
    }

    #[test]
    fn fewer_replicas_need_fewer_pins() {
        let pinned = patch(r#"{"replicas":2,"placement":{"pinned":["a","b"]}}"#, &spec()).unwrap();
        assert_eq!(patch(r#"{"replicas":1}"#, &pinned).unwrap().placement.pinned, ["a".into()]);
    }

    #[test]
    fn a_worker_more_and_a_worker_less() {
        let ask = |node: Option<&str>, source: &str| AddWorker {
            name: "m".parse().unwrap(),
            source: source.parse().unwrap(),
            node: node.map(NodeName::from),
            credentials: None,
        };
        let one = ask(Some("a"), "file:///m.gguf").apply(None, &Inventory::default()).unwrap();
        let two = ask(Some("b"), "file:///m.gguf").apply(Some(&one), &Inventory::default()).unwrap();
        assert_eq!((two.replicas, two.placement.pinned.len()), (2, 2));
        assert_eq!(ask(None, "file:///x.gguf").apply(Some(&one), &Inventory::default()).unwrap_err().status, 409);

        let inventory = inventory(&[("m-0-0", "a"), ("m-0-1", "b")]);
        let first = &inventory.workers[&"m-0-0".parse().unwrap()];
        let left = without_worker(&two, first, &inventory).unwrap();
        assert_eq!(
            (left.replicas, &left.retire, &left.placement.pinned),
            (1, &vec![first.id.clone()], &vec!["b".into()])
        );
        assert_eq!(without_worker(&left, first, &inventory), Some(left.clone()), "asking again changes nothing");
        let second = &inventory.workers[&"m-0-1".parse().unwrap()];
        assert_eq!(without_worker(&left, second, &inventory), None);
    }

    #[test]
    fn a_worker_that_is_no_replica_takes_none_with_it() {
        let mut spec = spec();
        spec.rollout.canary =
            Some(Canary { weight: 10, engine: EngineSettings { slots: Some(2), ..spec.engine.clone() } });
        let mut inventory = inventory(&[("m-0-0", "a"), ("m-0-1", "a"), ("m-0-2", "b")]);
        let revisions = [spec.revision(), spec.on_trial().unwrap().revision(), spec.revision()];
        for (worker, revision) in inventory.workers.values_mut().zip(revisions) {
            Arc::make_mut(worker).revision = revision;
        }
        let refused: clowder_core::WorkerId = "m-0-2".parse().unwrap();
        Arc::make_mut(inventory.workers.get_mut(&refused).unwrap()).refused = true;
        let without = |id: &str| without_worker(&spec, &inventory.workers[&id.parse().unwrap()], &inventory);
        let trial = without("m-0-1").unwrap();
        assert_eq!((trial.replicas, trial.rollout.canary), (1, None));
        let refused = without("m-0-2").unwrap();
        assert_eq!((refused.replicas, &refused.rollout), (1, &spec.rollout));
        assert_eq!(without("m-0-0"), None, "the model's own is the last one");
        assert_eq!(running(&spec, &inventory), 1);
    }

    #[test]
    fn names_are_made_of_file_names() {
        let made = |source: &str| name("name", None, &source.parse().unwrap()).map(|name| name.to_string());
        assert_eq!(made("hf://o/r/SmolLM2-135M-Q4_K_M.gguf").unwrap(), "SmolLM2-135M-Q4_K_M");
        assert_eq!(made("http://h/..%20my+model.gguf").unwrap(), "20my-model");
        assert_eq!(made("builtin:kitten").unwrap(), "kitten");
        assert!(made("http://h/---").is_err());
    }
}
