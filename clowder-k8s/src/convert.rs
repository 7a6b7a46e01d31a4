//! A [`Model`] as core's vocabulary.

use crate::model::{self, Accelerators, Engine, Model, Placement, Quantity, SecretKeyReference};
use crate::observe::units;
use clowder_core::autoscale::{Autoscaling, InvalidAutoscaling};
use clowder_core::check::InvalidSpec;
use clowder_core::model::{
    AcceleratorRequest, Adapter, CacheRules, Canary, Draft, EngineSettings, InvalidModelName, PlacementRules, Rollout,
};
use clowder_core::node::NodeName;
use clowder_core::secret::{Credentials, Secret};
use clowder_core::source::{Digest, InvalidDigest};
use clowder_core::url::InvalidModelUrl;
use clowder_core::worker::InvalidWorkerId;
use clowder_core::{ModelName, ModelSpec, ModelUrl};

/// Why a [`Model`] asks for nothing that Clowder could do. Its user mends it in the resource.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidModel {
    /// Neither `spec.alias` nor the resource's own name is a model's name.
    #[error("{field}: {error}")]
    Name {
        /// The field that the name was taken from.
        field: &'static str,
        /// What is wrong with it.
        error: InvalidModelName,
    },
    /// An entry of `spec.aliases` is no model's name.
    #[error("spec.aliases: {0}")]
    Alias(InvalidModelName),
    /// `spec.resources` asks for what is no amount of memory.
    #[error("spec.resources.memory: {0:?} is no amount of memory: write one such as 6Gi, or the number of bytes")]
    Resources(String),
    /// A value is out of its bounds.
    #[error("spec.{field}: {0}", field = field(.0))]
    Bounds(InvalidSpec),
    /// An entry of `spec.adapters` has what is no model's name.
    #[error("spec.adapters: {0}")]
    Adapter(InvalidModelName),
    /// What is no model's URL.
    #[error("spec.{field}: {error}")]
    Source {
        /// The field that has it.
        field: &'static str,
        /// What is wrong with it.
        error: InvalidModelUrl,
    },
    /// What is no digest.
    #[error("spec.{field}: {error}")]
    Digest {
        /// The field that has it.
        field: &'static str,
        /// What is wrong with it.
        error: InvalidDigest,
    },
    /// An entry of `spec.retire` is no worker's name.
    #[error("spec.retire: {0}")]
    Retire(InvalidWorkerId),
    /// `spec.autoscaling` has bounds that no number keeps.
    #[error("spec.autoscaling: {0}")]
    Autoscaling(InvalidAutoscaling),
    /// `spec.credentials` refers to a value that there is not.
    #[error("spec.credentials: there is no Secret {secret:?} with a key {key:?} in the namespace of this model")]
    NoSecret {
        /// The Secret's name.
        secret: String,
        /// The key in it.
        key: String,
    },
    /// It says what this version of Clowder cannot read.
    #[error("the resource cannot be read: {error}")]
    Unreadable {
        /// Where and why.
        error: String,
    },
    /// Another resource records a model that has the same name, or had it as a further name first.
    #[error("the name \"{name}\" is taken by the Model {by}: give another in spec.alias")]
    NameTaken {
        /// The name.
        name: ModelName,
        /// The other resource.
        by: String,
    },
    /// The same of a further name.
    #[error("the name \"{name}\" is taken by the Model {by}: take it out of spec.aliases")]
    AliasTaken {
        /// The name.
        name: ModelName,
        /// The other resource.
        by: String,
    },
}

impl InvalidModel {
    /// What is wrong in one word, as conditions of Kubernetes have it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Name { .. } => "InvalidName",
            Self::Alias(_) => "InvalidAliases",
            Self::Adapter(_) => "InvalidAdapters",
            Self::Resources(_) => "InvalidResources",
            Self::Bounds(error) => match error.field() {
                "adapters" => "InvalidAdapters",
                "aliases" => "InvalidAliases",
                "engine" => "InvalidEngine",
                "memory" => "InvalidResources",
                "placement" => "InvalidPlacement",
                "priority" => "InvalidPriority",
                "rollout" => "InvalidRollout",
                _ => "InvalidSpec",
            },
            Self::Source { .. } => "InvalidSource",
            Self::Digest { .. } => "InvalidDigest",
            Self::Retire(_) => "InvalidRetire",
            Self::Autoscaling(_) => "InvalidAutoscaling",
            Self::NoSecret { .. } => "SecretNotFound",
            Self::Unreadable { .. } => "Unreadable",
            Self::NameTaken { .. } | Self::AliasTaken { .. } => "NameTaken",
        }
    }
}

/// Where the resource has what core has in this field.
fn field(error: &InvalidSpec) -> &'static str {
    match error.field() {
        "memory" => "resources.memory",
        other => other,
    }
}

impl Model {
    /// What this resource asks for. `secret` gives the value that `spec.credentials` refers to, `None` where there is no
    /// such value; it is called at most once.
    ///
    /// # Errors
    /// [`InvalidModel`], for the first thing that is wrong.
    pub fn desired(
        &self,
        secret: impl FnOnce(&SecretKeyReference) -> Option<Secret>,
    ) -> Result<ModelSpec, InvalidModel> {
        let (field, name) = match &self.spec.alias {
            Some(alias) => ("spec.alias", alias.as_str()),
            None => ("metadata.name", self.metadata.name.as_deref().unwrap_or_default()),
        };
        let name = name.parse().map_err(|error| InvalidModel::Name { field, error })?;
        let mut spec = ModelSpec::new(name, source("source", &self.spec.source)?);
        let aliases = self.spec.aliases.iter().map(|alias| alias.parse());
        spec.aliases = aliases.collect::<Result<_, _>>().map_err(InvalidModel::Alias)?;
        spec.digest = digest("digest", self.spec.digest.as_deref())?;
        if let Some(credentials) = &self.spec.credentials {
            let reference = &credentials.secret_key_ref;
            let value = secret(reference)
                .ok_or_else(|| InvalidModel::NoSecret { secret: reference.name.clone(), key: reference.key.clone() })?;
            spec.credentials = Some(Credentials { kind: credentials.kind, value });
        }
        spec.replicas = self.spec.replicas.unwrap_or(spec.replicas);
        spec.autoscaling = self.spec.autoscaling.as_ref().map(Autoscaling::from);
        spec.autoscaling.as_ref().map_or(Ok(()), Autoscaling::check).map_err(InvalidModel::Autoscaling)?;
        spec.engine = engine("engine.draft", &self.spec.engine)?;
        spec.adapters = self.spec.adapters.iter().map(adapter).collect::<Result<_, _>>()?;
        spec.memory = self.spec.resources.memory.as_ref().map(memory).transpose()?;
        spec.placement = PlacementRules::from(&self.spec.placement);
        spec.priority = self.spec.priority;
        let canary = self.spec.rollout.canary.as_ref().map(canary).transpose()?;
        spec.rollout = Rollout { surge: self.spec.rollout.surge, canary };
        spec.cache = CacheRules { pin: self.spec.cache.pin };
        let retire = self.spec.retire.iter().map(|id| id.parse());
        spec.retire = retire.collect::<Result<_, _>>().map_err(InvalidModel::Retire)?;
        spec.check().map_err(InvalidModel::Bounds)?;
        Ok(spec)
    }
}

fn memory(quantity: &Quantity) -> Result<u64, InvalidModel> {
    let text = quantity.to_string();
    units(&text).ok_or_else(|| InvalidModel::Resources(text.chars().take(80).collect()))
}

fn source(field: &'static str, url: &str) -> Result<ModelUrl, InvalidModel> {
    url.parse().map_err(|error| InvalidModel::Source { field, error })
}

fn digest(field: &'static str, digest: Option<&str>) -> Result<Option<Digest>, InvalidModel> {
    digest.map(str::parse).transpose().map_err(|error| InvalidModel::Digest { field, error })
}

fn adapter(adapter: &model::Adapter) -> Result<Adapter, InvalidModel> {
    Ok(Adapter {
        name: adapter.name.parse().map_err(InvalidModel::Adapter)?,
        source: source("adapters", &adapter.source)?,
        digest: digest("adapters", adapter.digest.as_deref())?,
    })
}

fn canary(canary: &model::Canary) -> Result<Canary, InvalidModel> {
    Ok(Canary { weight: canary.weight, engine: engine("rollout.canary.engine.draft", &canary.engine)? })
}

/// `draft_field` is where a draft model is spelled wrong.
fn engine(draft_field: &'static str, engine: &Engine) -> Result<EngineSettings, InvalidModel> {
    let Engine { context, slots, kv_type, threads, gpu_layers, draft, extra } = engine;
    let read = |draft: &model::Draft| {
        Ok(Draft {
            source: source(draft_field, &draft.source)?,
            digest: digest(draft_field, draft.digest.as_deref())?,
            tokens: draft.tokens,
        })
    };
    Ok(EngineSettings {
        context: *context,
        slots: *slots,
        kv_type: *kv_type,
        threads: *threads,
        gpu_layers: *gpu_layers,
        draft: draft.as_ref().map(read).transpose()?,
        extra: extra.clone(),
    })
}

impl From<&model::Autoscaling> for Autoscaling {
    fn from(bounds: &model::Autoscaling) -> Self {
        let model::Autoscaling { min, max, target, scale_down_delay_seconds } = *bounds;
        Self { min, max, target, scale_down_delay: scale_down_delay_seconds }
    }
}

impl From<&Placement> for PlacementRules {
    fn from(placement: &Placement) -> Self {
        Self {
            pinned: placement.pinned.iter().map(|node| NodeName::from(node.as_str())).collect(),
            selector: placement.selector.clone(),
            spread: placement.spread.clone(),
            accelerators: placement.accelerators.as_ref().map(AcceleratorRequest::from),
        }
    }
}

impl From<&Accelerators> for AcceleratorRequest {
    fn from(accelerators: &Accelerators) -> Self {
        Self { name: accelerators.name.clone(), count: accelerators.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CredentialsReference, Spec};
    use clowder_core::model::KvType;
    use clowder_core::secret::CredentialsKind;
    use serde_json::json;

    fn resource(change: impl FnOnce(&mut Spec)) -> Model {
        let mut spec = Spec::new("builtin:kitten");
        change(&mut spec);
        Model::new("kitten", spec)
    }

    fn refused(change: impl FnOnce(&mut Spec)) -> InvalidModel {
        resource(change).desired(|_| None).unwrap_err()
    }

    fn token() -> Option<CredentialsReference> {
        let secret_key_ref = SecretKeyReference { name: "hub".into(), key: "token".into() };
        Some(CredentialsReference { kind: CredentialsKind::Basic, secret_key_ref })
    }

    #[test]
    fn the_least_resource_is_one_replica_of_its_source() {
        let desired = resource(|_| ()).desired(|_| panic!("it names no secret")).unwrap();
        assert_eq!(desired, ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap()));
    }

    #[test]
    fn every_field_of_the_resource_reaches_core() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let full = resource(|spec| {
            spec.alias = Some("Org/Kitten:Q8".into());
            spec.digest = Some(digest.clone());
            spec.credentials = token();
            spec.autoscaling = Some(model::Autoscaling { min: 0, max: 5, target: 2, scale_down_delay_seconds: 60 });
            spec.engine = Engine {
                context: Some(4096),
                slots: Some(2),
                kv_type: KvType::Q8_0,
                threads: Some(8),
                gpu_layers: Some(0),
                draft: Some(model::Draft {
                    source: "hf://o/r:Q4_0".into(),
                    digest: Some(digest.clone()),
                    tokens: Some(4),
                }),
                extra: [("use_mmap".into(), "false".into())].into(),
            };
            spec.adapters =
                vec![model::Adapter { name: "pirate".into(), source: "https://h/pirate.gguf".into(), digest: None }];
            spec.cache.pin = true;
            spec.rollout.canary = Some(model::Canary { weight: 10, engine: Engine::default() });
            spec.placement.pinned = vec!["sled-1".into()];
            spec.placement.selector = [("disk".into(), "fast".into())].into();
            spec.placement.spread = Some("topology.kubernetes.io/zone".into());
            spec.placement.accelerators = Some(Accelerators { name: "nvidia.com/gpu".into(), count: 2 });
            spec.aliases = vec!["kitten".into(), "cat".into()];
            spec.resources.memory = Some(Quantity::Text("6Gi".into()));
            spec.priority = -5;
            spec.rollout.surge = Some(0);
            spec.retire = vec!["kitten-00000000-1".into()];
        });
        let desired = full.desired(|reference| (reference.key == "token").then(|| Secret::new("dTpw"))).unwrap();
        let expected = ModelSpec {
            name: "Org/Kitten:Q8".parse().unwrap(),
            aliases: ["cat", "kitten"].map(|alias| alias.parse().unwrap()).into(),
            source: "builtin:kitten".parse().unwrap(),
            digest: Some(digest.parse().unwrap()),
            credentials: Some(Credentials { kind: CredentialsKind::Basic, value: Secret::new("dTpw") }),
            replicas: 1,
            autoscaling: Some(Autoscaling { min: 0, max: 5, target: 2, scale_down_delay: 60 }),
            engine: EngineSettings {
                context: Some(4096),
                slots: Some(2),
                kv_type: KvType::Q8_0,
                threads: Some(8),
                gpu_layers: Some(0),
                draft: Some(Draft {
                    source: "hf://o/r:Q4_0".parse().unwrap(),
                    digest: Some(digest.parse().unwrap()),
                    tokens: Some(4),
                }),
                extra: [("use_mmap".to_owned(), "false".to_owned())].into(),
            },
            adapters: vec![Adapter {
                name: "pirate".parse().unwrap(),
                source: "https://h/pirate.gguf".parse().unwrap(),
                digest: None,
            }],
            memory: Some(6 << 30),
            placement: PlacementRules {
                pinned: vec!["sled-1".into()],
                selector: [("disk".into(), "fast".into())].into(),
                spread: Some("topology.kubernetes.io/zone".into()),
                accelerators: Some(AcceleratorRequest { name: "nvidia.com/gpu".into(), count: 2 }),
            },
            priority: -5,
            rollout: Rollout { surge: Some(0), canary: Some(Canary { weight: 10, engine: EngineSettings::default() }) },
            cache: CacheRules { pin: true },
            retire: vec!["kitten-00000000-1".parse().unwrap()],
        };
        assert_eq!(desired, expected);
    }

    #[test]
    fn a_number_of_replicas_reaches_core() {
        let desired = resource(|spec| spec.replicas = Some(3)).desired(|_| None).unwrap();
        assert_eq!((desired.replicas, desired.autoscaling), (3, None));
    }

    #[test]
    fn memory_is_a_quantity_in_either_spelling() {
        let memory = |memory: serde_json::Value| {
            let spec: Spec = serde_json::from_value(json!({
                "source": "builtin:kitten", "resources": { "memory": memory },
            }))
            .unwrap();
            Model::new("kitten", spec).desired(|_| None)
        };
        for spelled in [json!("6Gi"), json!("6442450944"), json!(6_442_450_944_u64), json!("6442450944000m")] {
            assert_eq!(memory(spelled).unwrap().memory, Some(6 << 30));
        }
        let reasons =
            [json!("6Gb"), json!(""), json!(0), json!("1Ki")].map(|wrong| memory(wrong).unwrap_err().reason());
        assert_eq!(reasons, ["InvalidResources"; 4]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        let told = [
            (refused(|spec| spec.alias = Some("-x".into())), "spec.alias: model name \"-x\""),
            (refused(|spec| spec.aliases = vec!["".into()]), "spec.aliases: model name \"\""),
            (refused(|spec| spec.aliases = vec!["kitten".into()]), "spec.aliases: \"kitten\" is the model's own name"),
            (
                refused(|spec| spec.resources.memory = Some(Quantity::Text("lots".into()))),
                "spec.resources.memory: \"lots\" is no amount of memory",
            ),
            (
                refused(|spec| spec.resources.memory = Some(Quantity::Number(-1))),
                "spec.resources.memory: \"-1\" is no amount of memory",
            ),
            (
                refused(|spec| spec.resources.memory = Some(Quantity::Number(6))),
                "spec.resources.memory: 6 bytes are too few for a worker",
            ),
            (refused(|spec| spec.priority = i32::MAX), "spec.priority: 2147483647 is out of bounds"),
            (refused(|spec| spec.placement.spread = Some("".into())), "spec.placement: spread \"\" is no name"),
            (refused(|spec| spec.source = "kitten".into()), "spec.source: \"kitten\" has no scheme"),
            (refused(|spec| spec.digest = Some("md5:0".into())), "spec.digest: \"md5:0\" is no digest"),
            (
                refused(|spec| {
                    spec.engine.draft = Some(model::Draft { source: "x".into(), digest: None, tokens: None });
                }),
                "spec.engine.draft: \"x\" has no scheme",
            ),
            (
                refused(|spec| {
                    spec.adapters =
                        vec![model::Adapter { name: "-".into(), source: "builtin:kitten".into(), digest: None }];
                }),
                "spec.adapters: model name \"-\"",
            ),
            (
                refused(|spec| spec.rollout.canary = Some(model::Canary { weight: 0, engine: Engine::default() })),
                "spec.rollout: canary.weight 0 is out of bounds",
            ),
            (refused(|spec| spec.retire = vec!["A".into()]), "spec.retire: worker name \"A\""),
            (
                refused(|spec| {
                    let bounds = model::Autoscaling { min: 2, max: 1, target: 1, scale_down_delay_seconds: 0 };
                    spec.autoscaling = Some(bounds);
                }),
                "spec.autoscaling: min 2 is above max 1",
            ),
            (refused(|spec| spec.credentials = token()), "spec.credentials: there is no Secret \"hub\""),
        ];
        for (error, beginning) in told {
            assert!(error.to_string().starts_with(beginning), "{error}");
        }
        let long = Model::new(&"m".repeat(64), Spec::new("builtin:kitten")).desired(|_| None).unwrap_err();
        assert!(long.to_string().starts_with("metadata.name: "), "{long}");
    }
}
