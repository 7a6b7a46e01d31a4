//! The parts of a status: what a model's file says, how its trial fares, and how each worker does.

use clowder_core::gguf::{GgufFacts, GgufKind};
use clowder_core::status::TrialStatus;
use clowder_core::store::FetchProgress;
use clowder_core::worker::{Worker, WorkerState};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The longest text kept of a worker or a file, in characters.
const MAX_TEXT: usize = 256;

/// How settings on trial fare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CanaryStatus {
    /// The revision of the workers that run under them, as it stands in their names.
    pub revision: String,
    /// Workers that there shall be.
    #[schemars(range(min = 0, max = i32::MAX), extend("format" = "int32"))]
    pub replicas: u32,
    /// Workers that serve.
    #[schemars(range(min = 0, max = i32::MAX), extend("format" = "int32"))]
    pub ready: u32,
}

impl From<TrialStatus> for CanaryStatus {
    fn from(trial: TrialStatus) -> Self {
        let most = i32::MAX.unsigned_abs();
        let TrialStatus { revision, replicas, ready } = trial;
        Self { revision: revision.to_string(), replicas: replicas.min(most), ready: ready.min(most) }
    }
}

/// What a model's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The architecture: llama, qwen3, ...
    pub architecture: String,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Weights.
    #[schemars(schema_with = "count")]
    pub parameters: u64,
    /// Bytes of the weights.
    #[schemars(schema_with = "count")]
    pub weight_bytes: u64,
    /// Bytes that the file has at least.
    #[schemars(schema_with = "count")]
    pub file_bytes: u64,
    /// The format that most of the weights are in: Q4_K, F16, ...
    pub tensor_type: String,
    /// Tokens of context that the model was trained for.
    #[schemars(schema_with = "count")]
    pub context_length: u32,
    /// Layers.
    #[schemars(schema_with = "count")]
    pub blocks: u32,
    /// Width of the model.
    #[schemars(schema_with = "count")]
    pub embedding: u32,
    /// Width of the feed-forward part.
    #[schemars(schema_with = "count")]
    pub feed_forward: u32,
    /// Elements of the KV cache that one token takes.
    #[schemars(schema_with = "count")]
    pub kv_elements: u64,
    /// Tokens in the vocabulary.
    #[schemars(schema_with = "count")]
    pub vocabulary: u32,
    /// Files that the model is split into.
    #[schemars(schema_with = "count")]
    pub shards: u32,
    /// Whether the file brings a chat template.
    pub chat_template: bool,
}

/// How a worker fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Its name, and that of its Pod.
    pub name: String,
    /// The node that it is placed on.
    pub node: String,
    /// Where it stands: pending, fetching, starting, ready, draining, backoff, failed or stopped.
    pub state: String,
    /// Why it does not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often its process was started again.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "count")]
    pub restarts: u32,
    /// How far its node is with fetching the model, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<FetchStatus>,
}

/// How far a node is with fetching a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FetchStatus {
    /// Bytes on the node.
    #[schemars(schema_with = "count")]
    pub bytes: u64,
    /// Bytes in all, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count")]
    pub total_bytes: Option<u64>,
    /// Bytes per second, over the last seconds.
    #[schemars(schema_with = "count")]
    pub bytes_per_second: u64,
    /// Seconds left at the present rate, where that can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "count")]
    pub remaining_seconds: Option<u64>,
}

/// A number that is never negative, as far as the API server can count.
pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The API server's numbers end here.
fn capped(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

fn brief(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

impl From<&GgufFacts> for Facts {
    fn from(facts: &GgufFacts) -> Self {
        Self {
            architecture: brief(&facts.architecture),
            name: facts.name.as_deref().map(brief),
            parameters: capped(facts.parameters),
            weight_bytes: capped(facts.weight_bytes),
            file_bytes: capped(facts.file_bytes),
            tensor_type: facts.tensor_type.clone(),
            context_length: facts.context_length,
            blocks: facts.blocks,
            embedding: facts.embedding,
            feed_forward: facts.feed_forward,
            kv_elements: capped(facts.kv_elements),
            vocabulary: facts.vocabulary,
            shards: facts.shards,
            chat_template: facts.chat_template,
        }
    }
}

impl From<&Facts> for GgufFacts {
    fn from(facts: &Facts) -> Self {
        Self {
            kind: GgufKind::Model,
            architecture: facts.architecture.clone(),
            name: facts.name.clone(),
            parameters: facts.parameters,
            weight_bytes: facts.weight_bytes,
            file_bytes: facts.file_bytes,
            tensor_type: facts.tensor_type.clone(),
            context_length: facts.context_length,
            blocks: facts.blocks,
            embedding: facts.embedding,
            feed_forward: facts.feed_forward,
            kv_elements: facts.kv_elements,
            vocabulary: facts.vocabulary,
            shards: facts.shards,
            chat_template: facts.chat_template,
        }
    }
}

impl WorkerStatus {
    pub(crate) fn of(worker: &Worker) -> Self {
        let fetch = match worker.state {
            WorkerState::Fetching(progress) if progress != FetchProgress::default() => Some(FetchStatus {
                bytes: capped(progress.bytes),
                total_bytes: progress.total.map(capped),
                bytes_per_second: capped(progress.rate),
                remaining_seconds: progress.eta_seconds().map(capped),
            }),
            _ => None,
        };
        Self {
            name: worker.id.to_string(),
            node: worker.node.to_string(),
            state: worker.state.phase().to_owned(),
            reason: worker.state.reason().map(brief),
            restarts: worker.restarts,
            fetch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_come_back_as_they_went() {
        let facts = GgufFacts {
            kind: GgufKind::Model,
            architecture: "llama".into(),
            name: Some("Kitten".into()),
            parameters: 1,
            weight_bytes: 2,
            file_bytes: 3,
            tensor_type: "Q4_K".into(),
            context_length: 4,
            blocks: 5,
            embedding: 6,
            feed_forward: 7,
            kv_elements: 8,
            vocabulary: 9,
            shards: 10,
            chat_template: true,
        };
        assert_eq!(GgufFacts::from(&Facts::from(&facts)), facts);
    }

    #[test]
    fn a_worker_says_how_far_its_fetch_is_where_it_knows() {
        let mut worker = Worker::new("m-0-0".parse().unwrap(), "m".parse().unwrap(), "a".into());
        worker.state = WorkerState::Fetching(FetchProgress { bytes: 10, total: Some(110), rate: 50 });
        let fetch = WorkerStatus::of(&worker).fetch.unwrap();
        assert_eq!((fetch.total_bytes, fetch.bytes_per_second, fetch.remaining_seconds), (Some(110), 50, Some(2)));
        worker.state = WorkerState::Fetching(FetchProgress::default());
        assert_eq!(WorkerStatus::of(&worker).fetch, None);
    }

    #[test]
    fn numbers_beyond_the_api_servers_are_its_largest() {
        assert_eq!(
            Facts::from(&GgufFacts { parameters: u64::MAX, ..GgufFacts::default() }).parameters,
            i64::MAX.unsigned_abs()
        );
    }
}
