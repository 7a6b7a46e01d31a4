//! The `Model` resource: what a user of a cluster asks for.
//!
//! **Why is this resource the store of desired state, and not a database of Clowder's own?** A cluster has such a store
//! already, and it does what one must: it is replicated and backed up with the cluster, a change of it is atomic and
//! refused where it was made from an old state (`resourceVersion`), it counts changes (`generation`), it is watched
//! without polling, and who may change it is a matter of the cluster's own roles. `kubectl`, Helm and GitOps tools write
//! it as they write everything else. A second store beside it would have to be kept in step with it.
//!
//! **Why are so many fields text?** A value that the schema cannot check would be refused while it is *read*, and one bad
//! resource would then break the watch of all of them. They are read as written, checked by
//! [`Model::desired`], and a resource that is wrong says so in its own status.

use crate::status::Status;
use clowder_core::autoscale;
use clowder_core::model::{
    AcceleratorRequest, Canary as CanaryRules, Draft as DraftRules, EngineSettings, KvType, ModelSpec,
    Rollout as RolloutRules, Setting,
};
use clowder_core::secret::CredentialsKind;
use clowder_core::url::MAX_LENGTH;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The most replicas of a model: a slip of the finger shall not plan a million workers.
const MAX_REPLICAS: u32 = 1000;
/// The longest name of a label or an extended resource.
const MAX_KEY: usize = 317;
/// What a model may be called.
const NAME: &str = r"^[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,62}$";

/// What text is a digest.
const DIGEST: &str = r"^sha256:[0-9a-fA-F]{64}$";

/// What text is an amount: a number, and the unit or the exponent that Kubernetes gives it.
const QUANTITY: &str = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/// What is asked for: a model from a source, so many times, under these settings.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "clowder.dev",
    version = "v1alpha1",
    kind = "Model",
    namespaced,
    status = "Status",
    derive = "PartialEq",
    doc = "A model that workers of this cluster serve.",
    category = "clowder",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas"),
    validation = Rule::new("has(self.spec.alias) || self.metadata.name.size() <= 63")
        .message("metadata.name is too long for the name of a model, which has 63 characters at most: give it one in spec.alias"),
    validation = Rule::new("has(self.spec.alias) || !has(self.spec.aliases) || !(self.metadata.name in self.spec.aliases)")
        .message("metadata.name is the name of the model already: take it out of spec.aliases"),
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Ready","type":"integer","jsonPath":".status.ready"}"#,
    printcolumn = r#"{"name":"Desired","type":"integer","jsonPath":".status.desiredReplicas"}"#,
    printcolumn = r#"{"name":"Min","type":"integer","jsonPath":".spec.autoscaling.min","priority":1}"#,
    printcolumn = r#"{"name":"Max","type":"integer","jsonPath":".spec.autoscaling.max","priority":1}"#,
    printcolumn = r#"{"name":"Alias","type":"string","jsonPath":".spec.alias","priority":1}"#,
    printcolumn = r#"{"name":"Source","type":"string","jsonPath":".spec.source","priority":1}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.reason","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
// Immutable, as the source is: what a name stands for does not change under those who ask for it.
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.alias) == has(oldSelf.alias) && (!has(self.alias) || self.alias == oldSelf.alias)",
        "message": "the name of a model does not change: make another model",
    },
    {
        "rule": "!(has(self.replicas) && has(self.autoscaling))",
        "message": "replicas and autoscaling exclude each other: take one of them out",
    },
    {
        "rule": "!has(self.alias) || !has(self.aliases) || !(self.alias in self.aliases)",
        "message": "alias is the name of the model already: take it out of aliases",
    },
]))]
pub struct Spec {
    /// The name clients ask for, where it is not the resource's own: 1 to 63 letters, digits, '.', '_', '-', ':' or '/',
    /// beginning with a letter or digit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = NAME))]
    pub alias: Option<String>,
    /// Further names that clients may ask for it by. No other model has any of them, as its name or as a further one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "aliases")]
    pub aliases: Vec<String>,
    /// Where the model's bytes come from: hf://OWNER/REPO:QUANT, hf://OWNER/REPO/FILE.gguf, https://...
    #[schemars(length(min = 1, max = MAX_LENGTH), extend("x-kubernetes-validations" = [{
        "rule": "self == oldSelf",
        "message": "the source of a model does not change: make another model",
    }]))]
    pub source: String,
    /// What the model's file must hash to. Without it, the source's own digest is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DIGEST))]
    pub digest: Option<String>,
    /// What the source asks for before it hands out bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsReference>,
    /// How many workers shall serve it; 1 where neither this nor autoscaling is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 0, max = MAX_REPLICAS), extend("format" = "int32"))]
    pub replicas: Option<u32>,
    /// The bounds within which their number follows the demand, in place of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Autoscaling")]
    pub autoscaling: Option<Autoscaling>,
    /// How each of them runs it.
    #[serde(default)]
    pub engine: Engine,
    /// LoRA adapters: small changes of the model's weights, each of which a request asks for by its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ModelSpec::MOST_ADAPTERS), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"],
    ))]
    pub adapters: Vec<Adapter>,
    /// What each of them is promised.
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Where they may run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: Placement,
    /// Who comes first where memory or accelerators are short: the larger number, which may take the place of replicas of a
    /// lesser one.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(range(min = -ModelSpec::MOST_PRIORITY, max = ModelSpec::MOST_PRIORITY))]
    pub priority: i32,
    /// How workers of an earlier revision are replaced.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
    /// How nodes keep its files.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cache: Cache,
    /// Workers that go first when there are more than replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "worker_names")]
    pub retire: Vec<String>,
}

/// The bounds within which the replicas of a model follow its demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{ "rule": "self.min <= self.max", "message": "min is above max" }]))]
pub struct Autoscaling {
    /// The fewest replicas; 0 lets the model sleep while nobody asks for it.
    #[serde(default = "fewest")]
    #[schemars(range(min = 0, max = MAX_REPLICAS), extend("format" = "int32"))]
    pub min: u32,
    /// The most replicas.
    #[schemars(range(min = 1, max = MAX_REPLICAS), extend("format" = "int32"))]
    pub max: u32,
    /// Requests at the same time that one replica is worth.
    #[serde(default = "target")]
    #[schemars(range(min = 1, max = 10_000), extend("format" = "int32"))]
    pub target: u32,
    /// Seconds for which fewer must have been enough before replicas go.
    #[serde(default = "scale_down_delay")]
    #[schemars(range(min = 0, max = 86_400), extend("format" = "int32"))]
    pub scale_down_delay_seconds: u32,
}

/// Where credentials for a source are kept, and how they are presented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsReference {
    /// How the value is presented: as a bearer token, or as base64 of user:password.
    #[serde(default, rename = "type")]
    #[schemars(schema_with = "credentials_kind")]
    pub kind: CredentialsKind,
    /// A value of a Secret in the namespace of the model.
    pub secret_key_ref: SecretKeyReference,
}

/// One value of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyReference {
    /// The Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key of the value.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// How a worker runs its model. What is not said is left to the worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// Tokens of context of one request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = EngineSettings::LEAST_CONTEXT, max = i32::MAX), extend("format" = "int32"))]
    pub context: Option<u32>,
    /// Requests generated at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = EngineSettings::MOST_SLOTS), extend("format" = "int32"))]
    pub slots: Option<u32>,
    /// Number format of the KV cache.
    #[serde(default)]
    #[schemars(schema_with = "kv_type")]
    pub kv_type: KvType,
    /// Threads of the matrix kernels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = EngineSettings::MOST_THREADS), extend("format" = "int32"))]
    pub threads: Option<u32>,
    /// Layers kept on an accelerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65_535), extend("format" = "int32"))]
    pub gpu_layers: Option<u32>,
    /// A smaller model that guesses ahead, for the same output sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Draft")]
    pub draft: Option<Draft>,
    /// Further settings of llama.cpp, by its own names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "extra")]
    pub extra: BTreeMap<String, String>,
}

/// A model that guesses the next tokens of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Draft {
    /// Where its bytes come from: a GGUF file with the vocabulary of the model.
    #[schemars(length(min = 1, max = MAX_LENGTH))]
    pub source: String,
    /// What its file must hash to. Without it, the source's own digest is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DIGEST))]
    pub digest: Option<String>,
    /// The most tokens guessed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = DraftRules::MOST_TOKENS), extend("format" = "int32"))]
    pub tokens: Option<u32>,
}

/// A LoRA adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Adapter {
    /// What clients ask for in place of the model's name. No other model has it, as its name or as a further one.
    #[schemars(regex(pattern = NAME))]
    pub name: String,
    /// Where its bytes come from: a GGUF file made for the model.
    #[schemars(length(min = 1, max = MAX_LENGTH))]
    pub source: String,
    /// What its file must hash to. Without it, the source's own digest is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DIGEST))]
    pub digest: Option<String>,
}

/// How nodes keep the files of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cache {
    /// Whether files stay on the nodes that have them while no worker there uses them, whatever else needs the room.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pin: bool,
}

/// What each worker is promised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resources {
    /// Memory, such as 6Gi. Without it, what the model's header and the settings of the engine come to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity")]
    pub memory: Option<Quantity>,
}

/// A number as Kubernetes has it, in either spelling. What is no quantity is told by [`Model::desired`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Quantity {
    /// A bare number: 6442450944.
    Number(i64),
    /// With a unit: "6Gi".
    Text(String),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// How workers of an earlier revision are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// The most workers there are beyond the replicas meanwhile; 0 stops an old one before a new one starts. Without it, all
    /// new ones start for which there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = RolloutRules::MOST_SURGE), extend("format" = "int32"))]
    pub surge: Option<u32>,
    /// Settings on trial beside the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Canary")]
    pub canary: Option<Canary>,
}

/// Settings on trial: some replicas run under them, and that share of the requests goes to those. To keep them, move them to
/// spec.engine and take the canary out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Canary {
    /// Requests of a hundred that go to workers on trial, and replicas of a hundred that are such, at least one.
    #[schemars(range(min = *CanaryRules::WEIGHTS.start(), max = *CanaryRules::WEIGHTS.end()), extend("format" = "int32"))]
    pub weight: u8,
    /// How those run the model, in place of spec.engine.
    #[serde(default)]
    pub engine: Engine,
}

/// Where replicas may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// One entry for each replica that must run on that node; the replicas beyond them run anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "node_names")]
    pub pinned: Vec<String>,
    /// Labels that a node must carry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub selector: BTreeMap<String, String>,
    /// The label of nodes over whose values replicas are spread, such as topology.kubernetes.io/zone. Without it they are
    /// spread over nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_KEY), regex(pattern = r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[a-zA-Z0-9]([a-zA-Z0-9._-]{0,61}[a-zA-Z0-9])?$"))]
    pub spread: Option<String>,
    /// Accelerators that each replica has for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Accelerators")]
    pub accelerators: Option<Accelerators>,
}

/// Accelerators of one kind, as a device plugin offers them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.name.contains('/') && !self.name.contains('kubernetes.io/')",
    "message": "name is what nodes list under status.allocatable for their accelerators, such as nvidia.com/gpu",
}]))]
pub struct Accelerators {
    /// What nodes call them: nvidia.com/gpu.
    #[schemars(length(min = 1, max = MAX_KEY), regex(pattern = r"^[a-zA-Z0-9]([a-zA-Z0-9._/-]*[a-zA-Z0-9])?$"))]
    pub name: String,
    /// How many.
    #[schemars(range(min = 1, max = AcceleratorRequest::MOST), extend("format" = "int32"))]
    pub count: u32,
}

impl Spec {
    /// One replica of `source`, everything else left to Clowder.
    pub fn new(source: impl Into<String>) -> Self {
        Self {
            alias: None,
            aliases: Vec::new(),
            source: source.into(),
            digest: None,
            credentials: None,
            replicas: None,
            autoscaling: None,
            engine: Engine::default(),
            adapters: Vec::new(),
            resources: Resources::default(),
            placement: Placement::default(),
            priority: 0,
            rollout: Rollout::default(),
            cache: Cache::default(),
            retire: Vec::new(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn fewest() -> u32 {
    autoscale::Autoscaling::default().min
}

fn target() -> u32 {
    autoscale::Autoscaling::default().target
}

fn scale_down_delay() -> u32 {
    autoscale::Autoscaling::default().scale_down_delay
}

fn credentials_kind(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [CredentialsKind::Bearer, CredentialsKind::Basic] })
}

fn aliases(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ModelSpec::MOST_ALIASES,
        "items": { "type": "string", "pattern": NAME, "maxLength": 63 },
        "x-kubernetes-list-type": "set",
    })
}

fn extra(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": Setting::NAMES.len(),
        "additionalProperties": { "type": "string", "maxLength": 512 },
        "x-kubernetes-validations": [{
            "rule": format!("self.all(name, name in {:?})", Setting::NAMES),
            "message": format!("there is no such setting of llama.cpp; there are {}", Setting::NAMES.join(", ")),
        }],
    })
}

fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true, "maxLength": 64, "pattern": QUANTITY })
}

fn node_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_REPLICAS,
        "items": { "type": "string", "minLength": 1, "maxLength": 253 },
    })
}

fn worker_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_REPLICAS,
        "items": { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$" },
    })
}

fn kv_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [KvType::F32, KvType::F16, KvType::Q8_0, KvType::Q4_0] })
}
