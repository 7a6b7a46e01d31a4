//! Chat completions, streamed.

use super::{Client, authorised};
use crate::exit::Error;
use crate::sse::Event;
use futures::{Stream, TryStreamExt};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    /// `system`, `user` or `assistant`.
    pub(crate) role: &'static str,
    /// What was said.
    pub(crate) content: String,
}

/// What is asked.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ChatRequest<'a> {
    /// The model's name.
    pub(crate) model: &'a str,
    /// The conversation so far.
    pub(crate) messages: &'a [Message],
    /// Whether the answer comes piece by piece.
    pub(crate) stream: bool,
    /// Asks for the token counts at the end of a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<StreamOptions>,
    /// `temperature` and the like.
    #[serde(flatten)]
    pub(crate) options: &'a Map<String, Value>,
}

impl<'a> ChatRequest<'a> {
    /// A request for an answer piece by piece or, with `stream` false, in one piece.
    pub(crate) fn new(model: &'a str, messages: &'a [Message], options: &'a Map<String, Value>, stream: bool) -> Self {
        let stream_options = stream.then_some(StreamOptions { include_usage: true });
        Self { model, messages, stream, stream_options, options }
    }
}

/// Options of a streamed answer.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StreamOptions {
    include_usage: bool,
}

/// Token counts of an answer.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Usage {
    /// Of the conversation.
    #[serde(default)]
    pub(crate) prompt_tokens: u64,
    /// Of the answer.
    #[serde(default)]
    pub(crate) completion_tokens: u64,
}

/// A piece of an answer.
#[derive(Clone, Debug)]
pub(crate) enum ChatPart {
    /// Text.
    Text(String),
    /// Why the answer ended: `stop`, `length` and so on.
    Finished(String),
    /// Token counts.
    Usage(Usage),
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<ErrorBody>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default, alias = "message")]
    delta: Delta,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

impl Client {
    /// The names that requests may ask for.
    pub(crate) async fn model_names(&self) -> Result<BTreeSet<String>, Error> {
        let answer = self.fetch(self.openai(Method::GET, &["models"])).await?;
        #[derive(Deserialize)]
        struct Named {
            id: String,
        }
        Ok(answer.list::<Named>()?.into_iter().map(|model| model.id).collect())
    }

    /// An answer, in its parts. The stream ends with the answer; an error may come after the first part too.
    pub(crate) async fn chat(
        &self,
        request: &ChatRequest<'_>,
    ) -> Result<impl Stream<Item = Result<ChatPart, Error>> + use<>, Error> {
        let response = self.send(self.openai(Method::POST, &["chat", "completions"]).json(request)).await?;
        let events = if request.stream {
            futures::future::Either::Left(self.event_stream(response))
        } else {
            let data = String::from_utf8_lossy(&self.whole(response).await?).into_owned();
            let event = Event { event: String::new(), data };
            futures::future::Either::Right(futures::stream::iter([Ok(event)]))
        };
        let this = self.clone();
        Ok(events
            .and_then(move |event| std::future::ready(this.parts(&event.data)))
            .map_ok(|parts| futures::stream::iter(parts.into_iter().map(Ok)))
            .try_flatten())
    }

    fn openai(&self, method: Method, segments: &[&str]) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(&[&["v1"], segments].concat()));
        authorised(request, self.tokens.api.as_ref().or(self.tokens.admin.as_ref()))
    }

    fn parts(&self, data: &str) -> Result<Vec<ChatPart>, Error> {
        if data == "[DONE]" {
            return Ok(Vec::new());
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|e| self.foreign(e))?;
        if let Some(error) = chunk.error {
            return Err(Error::Refused { message: error.message });
        }
        let mut parts = Vec::new();
        for choice in chunk.choices {
            parts.extend(choice.delta.content.filter(|text| !text.is_empty()).map(ChatPart::Text));
            parts.extend(choice.finish_reason.map(ChatPart::Finished));
        }
        parts.extend(chunk.usage.map(ChatPart::Usage));
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Tokens;

    fn parts(data: &str) -> Result<Vec<ChatPart>, Error> {
        Client::new("http://127.0.0.1:1".parse().unwrap(), Tokens::default()).unwrap().parts(data)
    }

    #[test]
    fn chunks_whole_answers_and_errors() {
        let chunk = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}"#;
        assert!(matches!(&parts(chunk).unwrap()[..], [ChatPart::Text(text)] if text == "Hi"));
        let whole = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
        assert!(
            matches!(&parts(whole).unwrap()[..], [ChatPart::Text(_), ChatPart::Finished(_), ChatPart::Usage(u)] if u.prompt_tokens == 3)
        );
        assert!(parts("[DONE]").unwrap().is_empty());
        let error = parts(r#"{"error":{"message":"the worker ended","type":"server_error"}}"#).unwrap_err();
        assert_eq!(error.to_string(), "the worker ended");
        assert!(matches!(parts("<html>"), Err(Error::Foreign { .. })));
    }
}
