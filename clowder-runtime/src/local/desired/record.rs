//! The format of the file: `{"version":1,"models":[…]}`.

use clowder_core::autoscale::Autoscaling;
use clowder_core::desired::{DesiredModel, DesiredModels};
use clowder_core::model::{Adapter, CacheRules, EngineSettings, PlacementRules, Rollout};
use clowder_core::secret::{Credentials, CredentialsKind};
use clowder_core::source::Digest;
use clowder_core::{ModelName, ModelSpec, ModelUrl, Secret, WorkerId};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The version that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// Why bytes are no desired state.
#[derive(Debug, thiserror::Error)]
pub(super) enum FormatError {
    /// Written by a later program.
    #[error("it has version {0} of the format, and this program reads version {VERSION}")]
    Version(u32),
    /// Two records of one name.
    #[error("model {0} is in it twice")]
    Twice(ModelName),
    /// No such JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    models: Vec<ModelRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRecord {
    name: ModelName,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    aliases: BTreeSet<ModelName>,
    generation: u64,
    source: ModelUrl,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "credentials")]
    credentials: Option<CredentialsRecord>,
    replicas: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    autoscaling: Option<Autoscaling>,
    #[serde(default)]
    engine: EngineSettings,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    adapters: Vec<Adapter>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    #[serde(default, skip_serializing_if = "is_default")]
    placement: PlacementRules,
    #[serde(default, skip_serializing_if = "is_default")]
    priority: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    rollout: Rollout,
    #[serde(default, skip_serializing_if = "is_default")]
    cache: CacheRules,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retire: Vec<WorkerId>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The one place where a model's credentials are written down; the file is its owner's alone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsRecord {
    kind: CredentialsKind,
    value: String,
}

/// An error of serde quotes what it does not understand, and that could be the secret: here it does not.
fn credentials<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CredentialsRecord>, D::Error> {
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    let record = value.map(CredentialsRecord::deserialize).transpose();
    record.map_err(|_| D::Error::custom(r#"credentials are not {"kind":"bearer" or "basic","value":TEXT}"#))
}

/// The models that a file's bytes record.
pub(super) fn decode(bytes: &[u8]) -> Result<DesiredModels, FormatError> {
    let Versioned { version } = serde_json::from_slice(bytes)?;
    if version != VERSION {
        return Err(FormatError::Version(version));
    }
    let document: Document = serde_json::from_slice(bytes)?;
    let mut models = DesiredModels::new();
    for record in document.models {
        let name = record.name.clone();
        if models.insert(name.clone(), record.into()).is_some() {
            return Err(FormatError::Twice(name));
        }
    }
    Ok(models)
}

/// The bytes that record these models.
pub(super) fn encode(models: &DesiredModels) -> Result<Vec<u8>, FormatError> {
    let models = models.values().map(ModelRecord::from).collect();
    let mut bytes = serde_json::to_vec_pretty(&Document { version: VERSION, models })?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl From<&DesiredModel> for ModelRecord {
    fn from(model: &DesiredModel) -> Self {
        let ModelSpec {
            name,
            aliases,
            source,
            digest,
            credentials,
            replicas,
            autoscaling,
            engine,
            adapters,
            memory,
            placement,
            priority,
            rollout,
            cache,
            retire,
        } = ModelSpec::clone(&model.spec);
        let credentials = credentials.map(|c| CredentialsRecord { kind: c.kind, value: c.value.expose().to_owned() });
        Self {
            name,
            aliases,
            generation: model.generation,
            source,
            digest,
            credentials,
            replicas,
            autoscaling,
            engine,
            adapters,
            memory,
            placement,
            priority,
            rollout,
            cache,
            retire,
        }
    }
}

impl From<ModelRecord> for DesiredModel {
    fn from(record: ModelRecord) -> Self {
        let ModelRecord {
            name,
            aliases,
            generation,
            source,
            digest,
            credentials,
            replicas,
            autoscaling,
            engine,
            adapters,
            memory,
            placement,
            priority,
            rollout,
            cache,
            retire,
        } = record;
        let credentials = credentials.map(|c| Credentials { kind: c.kind, value: Secret::new(c.value) });
        let spec = ModelSpec {
            name,
            aliases,
            source,
            digest,
            credentials,
            replicas,
            autoscaling,
            engine,
            adapters,
            memory,
            placement,
            priority,
            rollout,
            cache,
            retire,
        };
        Self { spec: Arc::new(spec), generation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clowder_core::model::{AcceleratorRequest, Canary, Draft};

    fn models() -> DesiredModels {
        let mut full = ModelSpec::new("full".parse().unwrap(), "hf://o/r:Q4_0".parse().unwrap());
        full.digest = Some(Digest::from_bytes([7; 32]));
        full.credentials = Some(Credentials { kind: CredentialsKind::Basic, value: Secret::new("dTpw") });
        full.replicas = 3;
        full.autoscaling = Some(Autoscaling { min: 0, max: 3, ..Autoscaling::default() });
        full.engine.context = Some(512);
        full.aliases.insert("also".parse().unwrap());
        full.memory = Some(6 << 30);
        full.priority = -7;
        full.rollout.surge = Some(0);
        full.rollout.canary = Some(Canary { weight: 10, engine: EngineSettings::default() });
        full.engine.draft = Some(Draft::new("hf://o/r:Q4_0".parse().unwrap()));
        full.engine.extra.insert("flash_attn".to_owned(), "on".to_owned());
        full.adapters.push(Adapter {
            name: "pirate".parse().unwrap(),
            source: full.source.clone(),
            digest: full.digest,
        });
        full.cache.pin = true;
        full.placement.pinned.push("here".into());
        full.placement.spread = Some("zone".to_owned());
        full.placement.accelerators = Some(AcceleratorRequest { name: "gpu".to_owned(), count: 2 });
        full.retire.push("full-0-0".parse().unwrap());
        let plain = ModelSpec::new("plain".parse().unwrap(), "builtin:kitten".parse().unwrap());
        [(full, 4), (plain, 1)]
            .map(|(spec, generation)| (spec.name.clone(), DesiredModel { spec: Arc::new(spec), generation }))
            .into()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = encode(&models()).unwrap();
        assert_eq!(decode(&bytes).unwrap(), models());
    }

    #[test]
    fn the_format_is_a_contract() {
        let plain =
            r#"{"version":1,"models":[{"name":"plain","generation":1,"source":"builtin:kitten","replicas":1}]}"#;
        let models: DesiredModels = models().into_iter().filter(|(name, _)| name.as_str() == "plain").collect();
        assert_eq!(decode(plain.as_bytes()).unwrap(), models);
    }

    #[test]
    fn what_nobody_said_is_not_written() {
        let models: DesiredModels = models().into_iter().filter(|(name, _)| name.as_str() == "plain").collect();
        let written: serde_json::Value = serde_json::from_slice(&encode(&models).unwrap()).unwrap();
        let fields: Vec<&str> = written["models"][0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["name", "generation", "source", "replicas", "engine"]);
    }

    #[test]
    fn what_is_no_desired_state_is_said() {
        let said = |text: &str| decode(text.as_bytes()).unwrap_err().to_string();
        assert!(said("").contains("EOF"));
        assert!(said(r#"{"version":2,"else":[]}"#).contains("version 2"));
        assert!(said(r#"{"version":1,"models":[],"more":1}"#).contains("unknown field `more`"));
        let twice = r#"{"name":"m","generation":1,"source":"builtin:m","replicas":1}"#;
        assert!(said(&format!(r#"{{"version":1,"models":[{twice},{twice}]}}"#)).contains("model m is in it twice"));
    }

    #[test]
    fn no_error_quotes_a_secret() {
        for credentials in [r#""hf_abc""#, r#"{"kind":"hf_abc"}"#, r#"{"hf_abc":1}"#, r#"["hf_abc"]"#] {
            let text = format!(
                r#"{{"version":1,"models":[{{"name":"m","generation":1,"source":"builtin:m","replicas":1,"credentials":{credentials}}}]}}"#
            );
            let error = decode(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hf_abc"), "{error}");
        }
    }
}
