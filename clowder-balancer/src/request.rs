//! The edge: a body becomes a [`ValidRequest`], or a 400. Workers never see a request that did not.

use crate::directory::Snapshot;
use crate::error::ApiError;
use crate::policy::{Fingerprint, FingerprintBuilder};
use bytes::Bytes;
use clowder_core::ModelName;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What is asked of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    ChatCompletion,
    Completion,
    Tokenize,
    Detokenize,
    ApplyTemplate,
}

impl Operation {
    /// The worker's path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::ChatCompletion => "/v1/chat/completions",
            Self::Completion => "/v1/completions",
            Self::Tokenize => "/tokenize",
            Self::Detokenize => "/detokenize",
            Self::ApplyTemplate => "/apply-template",
        }
    }
}

/// A request that may go to a worker: whole JSON, a model's name, and the fields that routing reads are what they must be.
/// All else passes through as it came, for the worker to judge.
#[derive(Clone, Debug)]
pub(crate) struct ValidRequest {
    pub(crate) operation: Operation,
    /// The model's own name, whichever of its names was asked for; where there is no such model, what was asked for.
    pub(crate) model: String,
    /// Whether one of the model's adapters was asked for.
    pub(crate) is_adapter: bool,
    /// What the prompt shares with others.
    pub(crate) prompt: Fingerprint,
    /// Whether the answer shall be a stream.
    pub(crate) is_streamed: bool,
    /// The body, as it came.
    pub(crate) body: Bytes,
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl ValidRequest {
    pub(crate) fn parse(operation: Operation, body: Bytes, snapshot: &Snapshot) -> Result<Self, ApiError> {
        let fields: Fields<'_> = serde_json::from_slice(&body).map_err(|error| {
            let what = if error.is_data() { "is not a JSON object" } else { "is not valid JSON" };
            ApiError::invalid(None, format!("The body {what}: {error}."))
        })?;
        let asked = model(&fields, snapshot)?;
        let found = snapshot.model(&asked);
        // What an adapter made of a prompt is of no use to the model or to another.
        let is_adapter = found.is_some_and(|model| snapshot.is_adapter(&asked, model));
        let model = found.map_or_else(|| asked.clone(), ModelName::to_string);
        let is_streamed = match given(&fields, "stream") {
            Some(stream) => read::<bool>(stream, "stream", "true or false")?,
            None => false,
        };
        let mut prompt = FingerprintBuilder::new(if is_adapter { &asked } else { &model });
        match operation {
            Operation::ChatCompletion => {
                let messages = messages(&fields)?;
                if let Some(tools) = given(&fields, "tools") {
                    prompt.part(tools.get().as_bytes());
                }
                messages.iter().for_each(|message| prompt.part(message.get().as_bytes()));
            }
            Operation::Completion => {
                let Some(text) = given(&fields, "prompt") else {
                    return Err(ApiError::missing("prompt", "`prompt` is missing: send the text to be continued."));
                };
                // Without the closing quote, so that a longer text begins with the shorter.
                prompt.part(text.get().trim_end_matches('"').as_bytes());
            }
            Operation::ApplyTemplate => drop(messages(&fields)?),
            Operation::Tokenize | Operation::Detokenize => {}
        }
        let prompt = prompt.finish();
        Ok(Self { operation, model, is_adapter, prompt, is_streamed, body })
    }
}

/// A field that is there and not null.
fn given<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).copied().filter(|value| value.get() != "null")
}

fn read<'a, T: serde::Deserialize<'a>>(value: &'a RawValue, name: &'static str, wanted: &str) -> Result<T, ApiError> {
    serde_json::from_str(value.get()).map_err(|_| ApiError::invalid(name, format!("`{name}` must be {wanted}.")))
}

fn model(fields: &Fields<'_>, snapshot: &Snapshot) -> Result<String, ApiError> {
    let Some(model) = given(fields, "model") else {
        let message = format!("`model` is missing: name the model to use; {}.", snapshot.names());
        return Err(ApiError::missing("model", message));
    };
    read(model, "model", &format!("the name of a model, as a string; {}", snapshot.names()))
}

fn messages<'a>(fields: &Fields<'a>) -> Result<Vec<&'a RawValue>, ApiError> {
    let Some(messages) = given(fields, "messages") else {
        return Err(ApiError::missing("messages", "`messages` is missing: send the conversation so far."));
    };
    let messages: Vec<&RawValue> = read(messages, "messages", "an array of messages")?;
    match messages.iter().position(|message| !message.get().starts_with('{')) {
        _ if messages.is_empty() => {
            Err(ApiError::invalid("messages", "`messages` is empty: send at least one message."))
        }
        Some(index) => {
            Err(ApiError::invalid("messages", format!("`messages[{index}]` must be an object with role and content.")))
        }
        None => Ok(messages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(operation: Operation, body: &str) -> Result<ValidRequest, String> {
        ValidRequest::parse(operation, Bytes::copy_from_slice(body.as_bytes()), &Snapshot::default())
            .map_err(|error| error.to_json())
    }

    #[test]
    fn the_body_passes_as_it_came() {
        let body = r#"{ "model":"m", "messages":[{"role":"user","content":"hi"}], "top_k": 1e0, "x": {"y":[]} }"#;
        let request = parse(Operation::ChatCompletion, body).unwrap();
        assert_eq!((request.model.as_str(), &request.body[..]), ("m", body.as_bytes()));
    }

    #[test]
    fn a_conversation_that_goes_on_shares_its_beginning() {
        let chat = |messages: &str| {
            let body = format!(r#"{{"model":"m","stream":true,"messages":[{messages}]}}"#);
            parse(Operation::ChatCompletion, &body).unwrap().prompt
        };
        let short = chat(r#"{"role":"user","content":"a"}"#);
        let long = chat(r#"{"role":"user","content":"a"},{"role":"assistant","content":"b"}"#);
        assert!(long.blocks().starts_with(short.blocks()));
    }

    #[test]
    fn refusals_say_what_where_and_what_to_do() {
        let refusals: Vec<String> = [
            (Operation::ChatCompletion, "{"),
            (Operation::ChatCompletion, "[]"),
            (Operation::ChatCompletion, r#"{"messages":[]}"#),
            (Operation::ChatCompletion, r#"{"model":7}"#),
            (Operation::ChatCompletion, r#"{"model":"m","stream":"yes"}"#),
            (Operation::ChatCompletion, r#"{"model":"m","messages":null}"#),
            (Operation::ChatCompletion, r#"{"model":"m","messages":[]}"#),
            (Operation::ChatCompletion, r#"{"model":"m","messages":[{},"hi"]}"#),
            (Operation::Completion, r#"{"model":"m"}"#),
        ]
        .into_iter()
        .map(|(operation, body)| parse(operation, body).unwrap_err())
        .collect();
        insta::assert_snapshot!(refusals.join("\n"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ValidRequest::parse(Operation::ChatCompletion, body.into(), &Snapshot::default());
        }
    }
}
