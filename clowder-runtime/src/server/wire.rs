//! OpenAI's objects as they are sent.

use super::tool_calls::ToolCall;
use clowder_core::engine::TokenLogprob;
use serde::Serialize;
use std::borrow::Cow;

/// What every object of one answer carries.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) id: String,
    pub(crate) object: &'static str,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) system_fingerprint: String,
}

/// An answer, or one piece of a streamed one.
#[derive(Serialize)]
pub(crate) struct Envelope<'a, C: Serialize> {
    #[serde(flatten)]
    pub(crate) head: &'a Head,
    pub(crate) choices: &'a [C],
    /// Absent, `null` or there, as OpenAI has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Option<UsageBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timings: Option<Timings>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct UsageBody {
    pub(crate) prompt_tokens: u32,
    pub(crate) completion_tokens: u32,
    pub(crate) total_tokens: u32,
    pub(crate) prompt_tokens_details: PromptTokensDetails,
    pub(crate) completion_tokens_details: CompletionTokensDetails,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct PromptTokensDetails {
    pub(crate) cached_tokens: u32,
}

/// What became of guesses: here those of a draft model.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct CompletionTokensDetails {
    pub(crate) accepted_prediction_tokens: u32,
    pub(crate) rejected_prediction_tokens: u32,
}

/// llama-server's addition.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Timings {
    pub(crate) cache_n: u32,
    pub(crate) prompt_n: u32,
    pub(crate) prompt_ms: f64,
    pub(crate) prompt_per_token_ms: f64,
    pub(crate) prompt_per_second: f64,
    pub(crate) predicted_n: u32,
    pub(crate) predicted_ms: f64,
    pub(crate) predicted_per_token_ms: f64,
    pub(crate) predicted_per_second: f64,
    /// Absent where nothing was guessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) draft_n: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) draft_n_accepted: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct ChatChoice {
    pub(crate) index: usize,
    pub(crate) message: Message,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: &'static str,
}

#[derive(Serialize)]
pub(crate) struct Message {
    pub(crate) role: &'static str,
    pub(crate) content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCallBody>,
}

#[derive(Serialize)]
pub(crate) struct ChatChunk<'a> {
    pub(crate) index: usize,
    pub(crate) delta: Delta<'a>,
    pub(crate) logprobs: Option<ChatLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
pub(crate) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<[ToolCallBody; 1]>,
}

#[derive(Serialize)]
pub(crate) struct ToolCallBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index: Option<usize>,
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) function: FunctionBody,
}

#[derive(Serialize)]
pub(crate) struct FunctionBody {
    pub(crate) name: String,
    pub(crate) arguments: String,
}

impl ToolCallBody {
    /// A call; streamed ones carry their index.
    pub(crate) fn new(call: ToolCall, index: Option<usize>) -> Self {
        let ToolCall { name, arguments } = call;
        Self { index, id: new_id("call_"), kind: "function", function: FunctionBody { name, arguments } }
    }
}

#[derive(Serialize)]
pub(crate) struct TextChoice<'a> {
    pub(crate) index: usize,
    pub(crate) text: Cow<'a, str>,
    pub(crate) logprobs: Option<TextLogprobs>,
    pub(crate) finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
pub(crate) struct ChatLogprobs {
    content: Vec<ChatLogprob>,
}

#[derive(Serialize)]
struct ChatLogprob {
    #[serde(flatten)]
    chosen: TokenBody,
    top_logprobs: Vec<TokenBody>,
}

#[derive(Serialize)]
struct TokenBody {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl TokenBody {
    fn new(bytes: Vec<u8>, logprob: f32) -> Self {
        // JSON has no infinity; OpenAI writes this for tokens that cannot come.
        let logprob = if logprob.is_finite() { logprob } else { -9999.0 };
        Self { token: String::from_utf8_lossy(&bytes).into_owned(), logprob, bytes }
    }
}

impl ChatLogprobs {
    /// OpenAI's form for chats; `None` where none were asked for.
    pub(crate) fn new(asked: bool, logprobs: Vec<TokenLogprob>) -> Option<Self> {
        let each = |logprob: TokenLogprob| ChatLogprob {
            chosen: TokenBody::new(logprob.bytes, logprob.logprob),
            top_logprobs: logprob.top.into_iter().map(|(bytes, logprob)| TokenBody::new(bytes, logprob)).collect(),
        };
        asked.then(|| Self { content: logprobs.into_iter().map(each).collect() })
    }
}

/// OpenAI's form for plain completions: columns.
#[derive(Serialize)]
pub(crate) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<serde_json::Map<String, serde_json::Value>>,
    text_offset: Vec<usize>,
}

impl TextLogprobs {
    /// The columns of tokens that begin at a character of the text; moves `offset` to their end.
    pub(crate) fn new(asked: bool, logprobs: Vec<TokenLogprob>, offset: &mut usize) -> Option<Self> {
        if !asked {
            return None;
        }
        let count = logprobs.len();
        let mut columns = Self {
            tokens: Vec::with_capacity(count),
            token_logprobs: Vec::with_capacity(count),
            top_logprobs: Vec::with_capacity(count),
            text_offset: Vec::with_capacity(count),
        };
        for logprob in logprobs {
            let chosen = TokenBody::new(logprob.bytes, logprob.logprob);
            columns.text_offset.push(*offset);
            *offset += chosen.token.chars().count();
            columns.tokens.push(chosen.token);
            columns.token_logprobs.push(chosen.logprob);
            let top = logprob.top.into_iter().map(|(bytes, logprob)| TokenBody::new(bytes, logprob));
            columns.top_logprobs.push(top.map(|body| (body.token, body.logprob.into())).collect());
        }
        Some(columns)
    }
}

/// A name that no other answer has.
pub(crate) fn new_id(prefix: &str) -> String {
    format!("{prefix}{:032x}", rand::random::<u128>())
}
