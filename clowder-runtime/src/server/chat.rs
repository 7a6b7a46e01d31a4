//! `POST /v1/chat/completions`.

use super::error::{ApiError, ErrorBody};
use super::fields::Fields;
use super::generation::{Answer, Indexed, finish_reason, timings, total_usage};
use super::messages::Conversation;
use super::params::Params;
use super::sse::{self, EventWriter, Frames};
use super::state::{Body, ServerState};
use super::tool_calls::{Piece, ToolCallParser};
use super::wire::{ChatChoice, ChatChunk, ChatLogprobs, Delta, Envelope, Head, Message, ToolCallBody};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use clowder_core::engine::{FinishReason, GenerateEvent, TokenLogprob, Usage};
use std::sync::Arc;

/// The handler.
pub(crate) async fn complete(
    State(state): State<Arc<ServerState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&body.0)?;
    let serving = state.serving(&fields, &headers)?;
    let params = Params { adapter: serving.adapter(&fields)?, ..read_params(&fields)? };
    let conversation = Conversation::read(&mut fields)?;
    let prompt = serving.chat_prompt(&conversation).await?;
    let (asked, tools) = (params.logprobs.is_some(), conversation.tools);
    let generation = state.begin(&serving, vec![prompt], &params).await?;
    if params.stream {
        let head = state.head("chatcmpl-", "chat.completion.chunk", &fields);
        let choices = (0..generation.choices).map(|_| Choice::new(tools)).collect();
        let writer = ChatWriter { head, asked, include_usage: params.include_usage, choices };
        return Ok(sse::respond(generation, writer));
    }
    let answers = generation.collect().await?;
    let usage = total_usage(answers.iter().map(|answer| &answer.usage), params.n);
    let timings = answers.first().map(|answer| timings(&answer.usage));
    let choices: Vec<_> =
        answers.into_iter().enumerate().map(|(index, answer)| whole(index, answer, asked, tools)).collect();
    let head = state.head("chatcmpl-", "chat.completion", &fields);
    Ok(Json(Envelope { head: &head, choices: &choices, usage: Some(Some(usage)), timings }).into_response())
}

fn read_params(fields: &Fields) -> Result<Params, ApiError> {
    if fields.get("response_format").is_some_and(|format| format["type"] != "text") {
        let message = "this server does not constrain the output: 'response_format' may be {\"type\": \"text\"}";
        return Err(ApiError::unsupported("response_format", message));
    }
    let asked = fields.flag("logprobs")?;
    let top = fields.count("top_logprobs", 20)?;
    if top.is_some() && !asked {
        return Err(ApiError::field("top_logprobs", "'top_logprobs' needs 'logprobs': true"));
    }
    Params::read(fields, asked.then(|| top.unwrap_or(0)))
}

/// One alternative of an answer that is not streamed.
fn whole(index: usize, answer: Answer, asked: bool, tools: bool) -> ChatChoice {
    let mut content = String::new();
    let mut tool_calls = Vec::new();
    if tools {
        let mut parser = ToolCallParser::default();
        for piece in parser.push(&answer.text).into_iter().chain(parser.finish()) {
            match piece {
                Piece::Text(text) => content.push_str(&text),
                Piece::Call(call) => tool_calls.push(ToolCallBody::new(call, None)),
            }
        }
    } else {
        content = answer.text;
    }
    let called = !tool_calls.is_empty();
    ChatChoice {
        index,
        message: Message {
            role: "assistant",
            content: (!called || !content.is_empty()).then_some(content),
            tool_calls,
        },
        logprobs: ChatLogprobs::new(asked, answer.logprobs),
        finish_reason: reason(answer.reason, called),
    }
}

fn reason(reason: Option<FinishReason>, called: bool) -> &'static str {
    match reason {
        Some(FinishReason::Stop) if called => "tool_calls",
        reason => finish_reason(reason),
    }
}

/// One alternative of a streamed answer.
struct Choice {
    begun: bool,
    parser: Option<ToolCallParser>,
    calls: usize,
    usage: Option<Usage>,
}

impl Choice {
    fn new(tools: bool) -> Self {
        Self { begun: false, parser: tools.then(ToolCallParser::default), calls: 0, usage: None }
    }
}

struct ChatWriter {
    head: Head,
    /// Whether probabilities were asked for.
    asked: bool,
    include_usage: bool,
    choices: Vec<Choice>,
}

impl ChatWriter {
    fn chunk(&self, chunk: ChatChunk<'_>, usage: Option<&Usage>, frames: &mut Frames) {
        frames.push(&Envelope {
            head: &self.head,
            choices: &[chunk],
            usage: self.include_usage.then_some(None),
            timings: usage.map(timings),
        });
    }

    fn delta(&self, index: usize, delta: Delta<'_>, logprobs: Option<ChatLogprobs>, frames: &mut Frames) {
        self.chunk(ChatChunk { index, delta, logprobs, finish_reason: None }, None, frames);
    }

    /// Text, told apart from calls where there may be some.
    fn output(&mut self, index: usize, text: &str, logprobs: Vec<TokenLogprob>, frames: &mut Frames) {
        let mut logprobs = ChatLogprobs::new(self.asked, logprobs);
        match &mut self.choices[index].parser {
            None => {
                let delta = Delta { content: Some(text), ..Delta::default() };
                self.delta(index, delta, logprobs, frames);
            }
            Some(parser) => {
                for piece in parser.push(text) {
                    self.piece(index, piece, logprobs.take(), frames);
                }
                if logprobs.is_some() {
                    self.delta(index, Delta::default(), logprobs, frames);
                }
            }
        }
    }

    fn piece(&mut self, index: usize, piece: Piece, logprobs: Option<ChatLogprobs>, frames: &mut Frames) {
        match piece {
            Piece::Text(text) => {
                let delta = Delta { content: Some(&text), ..Delta::default() };
                self.delta(index, delta, logprobs, frames);
            }
            Piece::Call(call) => {
                let number = self.choices[index].calls;
                self.choices[index].calls += 1;
                let delta = Delta { tool_calls: Some([ToolCallBody::new(call, Some(number))]), ..Delta::default() };
                self.delta(index, delta, logprobs, frames);
            }
        }
    }
}

impl EventWriter for ChatWriter {
    fn write(&mut self, (index, event): Indexed, frames: &mut Frames) -> Result<(), ErrorBody> {
        if !std::mem::replace(&mut self.choices[index].begun, true) {
            let delta = Delta { role: Some("assistant"), content: Some(""), ..Delta::default() };
            self.delta(index, delta, None, frames);
        }
        match event {
            GenerateEvent::Output { text, logprobs } => self.output(index, &text, logprobs, frames),
            GenerateEvent::Finished { reason: ended, usage } => {
                if let Some(mut parser) = self.choices[index].parser.take() {
                    for piece in parser.finish() {
                        self.piece(index, piece, None, frames);
                    }
                }
                let finish_reason = Some(reason(Some(ended), self.choices[index].calls > 0));
                let chunk = ChatChunk { index, delta: Delta::default(), logprobs: None, finish_reason };
                self.chunk(chunk, Some(&usage), frames);
                self.choices[index].usage = Some(usage);
            }
            GenerateEvent::Failed(error) => return Err(ApiError::from(error).body),
        }
        Ok(())
    }

    fn finish(&mut self, frames: &mut Frames) {
        if self.include_usage {
            let usage = total_usage(self.choices.iter().filter_map(|choice| choice.usage.as_ref()), self.choices.len());
            let choices: &[ChatChunk<'_>] = &[];
            frames.push(&Envelope { head: &self.head, choices, usage: Some(Some(usage)), timings: None });
        }
    }
}
