//! `POST /v1/completions`.

use super::error::{ApiError, ErrorBody};
use super::fields::Fields;
use super::generation::{Indexed, finish_reason, timings, total_usage};
use super::params::{MAX_CHOICES, Params};
use super::sse::{self, EventWriter, Frames};
use super::state::{Body, ServerState, Serving};
use super::wire::{Envelope, Head, TextChoice, TextLogprobs};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use clowder_core::engine::{GenerateEvent, Token, Usage};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// The handler.
pub(crate) async fn complete(
    State(state): State<Arc<ServerState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let fields = Fields::parse(&body.0)?;
    let serving = state.serving(&fields, &headers)?;
    let params = Params { adapter: serving.adapter(&fields)?, ..read_params(&fields)? };
    let prompts = read_prompts(&fields, &serving).await?;
    if prompts.len() * params.n > MAX_CHOICES {
        let message = format!("prompts times 'n' may be at most {MAX_CHOICES}");
        return Err(ApiError::field("n", message));
    }
    let echoes = echoes(&fields, &prompts, &serving, &params)?;
    let asked = params.logprobs.is_some();
    let generation = state.begin(&serving, prompts, &params).await?;
    let head = state.head("cmpl-", "text_completion", &fields);
    if params.stream {
        let choices = echoes.into_iter().map(Choice::new).collect();
        let writer = TextWriter { head, asked, include_usage: params.include_usage, n: params.n, choices };
        return Ok(sse::respond(generation, writer));
    }
    let answers = generation.collect().await?;
    let usage = total_usage(answers.iter().map(|answer| &answer.usage), params.n);
    let timings = answers.first().map(|answer| timings(&answer.usage));
    let choices: Vec<_> = answers
        .into_iter()
        .zip(echoes)
        .enumerate()
        .map(|(index, (answer, echo))| {
            let mut offset = echo.chars().count();
            TextChoice {
                index,
                text: Cow::Owned(echo + &answer.text),
                logprobs: TextLogprobs::new(asked, answer.logprobs, &mut offset),
                finish_reason: Some(finish_reason(answer.reason)),
            }
        })
        .collect();
    Ok(Json(Envelope { head: &head, choices: &choices, usage: Some(Some(usage)), timings }).into_response())
}

fn read_params(fields: &Fields) -> Result<Params, ApiError> {
    if fields.text("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        let message = "this server does not fill in the middle: leave 'suffix' out";
        return Err(ApiError::unsupported("suffix", message));
    }
    let n = fields.integer("n", 1..=MAX_CHOICES as i64)?.unwrap_or(1);
    if fields.integer("best_of", 1..=20)?.is_some_and(|best_of| best_of != n) {
        let message = "this server returns all it generates: 'best_of' may only be 'n'";
        return Err(ApiError::unsupported("best_of", message));
    }
    Params::read(fields, fields.count("logprobs", 20)?)
}

/// A text, tokens, or a list of either.
async fn read_prompts(fields: &Fields, serving: &Serving) -> Result<Vec<Vec<Token>>, ApiError> {
    let wrong = || {
        let message =
            format!("'prompt' must be a string, a list of tokens, or a list of at most {MAX_CHOICES} of them");
        ApiError::field("prompt", message)
    };
    let given = match fields.get("prompt") {
        None => return Err(ApiError::field("prompt", "'prompt' is missing")),
        Some(Value::Array(many)) if many.is_empty() || many.len() > MAX_CHOICES && !many[0].is_number() => {
            return Err(wrong());
        }
        Some(Value::Array(many)) if !many[0].is_number() => many.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    let mut prompts = Vec::with_capacity(given.len());
    for prompt in given {
        prompts.push(match prompt {
            Value::String(text) => serving.prompt(text).await?,
            Value::Array(tokens) => {
                tokens.iter().map(|token| as_token(token).ok_or_else(wrong)).collect::<Result<_, _>>()?
            }
            _ => return Err(wrong()),
        });
    }
    Ok(prompts)
}

fn as_token(value: &Value) -> Option<Token> {
    u32::try_from(value.as_u64()?).ok()
}

/// What goes before the text of each alternative: its prompt, where asked for.
fn echoes(
    fields: &Fields,
    prompts: &[Vec<Token>],
    serving: &Serving,
    params: &Params,
) -> Result<Vec<String>, ApiError> {
    let echo = fields.flag("echo")?;
    if echo && params.logprobs.is_some() {
        let message = "this server has no probabilities of the prompt: ask for 'echo' or for 'logprobs'";
        return Err(ApiError::unsupported("echo", message));
    }
    let text = |prompt: &Vec<Token>| match echo {
        true => String::from_utf8_lossy(&serving.engine.detokenize(prompt, false)).into_owned(),
        false => String::new(),
    };
    Ok(prompts.iter().flat_map(|prompt| std::iter::repeat_n(text(prompt), params.n)).collect())
}

/// One alternative of a streamed answer.
struct Choice {
    /// The prompt, until it is sent.
    echo: Option<String>,
    /// Characters sent.
    offset: usize,
    usage: Option<Usage>,
}

impl Choice {
    fn new(echo: String) -> Self {
        Self { offset: echo.chars().count(), echo: Some(echo).filter(|echo| !echo.is_empty()), usage: None }
    }
}

struct TextWriter {
    head: Head,
    /// Whether probabilities were asked for.
    asked: bool,
    include_usage: bool,
    n: usize,
    choices: Vec<Choice>,
}

impl TextWriter {
    fn chunk(&self, chunk: TextChoice<'_>, usage: Option<&Usage>, frames: &mut Frames) {
        frames.push(&Envelope {
            head: &self.head,
            choices: &[chunk],
            usage: self.include_usage.then_some(None),
            timings: usage.map(timings),
        });
    }
}

impl EventWriter for TextWriter {
    fn write(&mut self, (index, event): Indexed, frames: &mut Frames) -> Result<(), ErrorBody> {
        let bare = |text| TextChoice { index, text, logprobs: None, finish_reason: None };
        if let Some(echo) = self.choices[index].echo.take() {
            self.chunk(bare(Cow::Owned(echo)), None, frames);
        }
        match event {
            GenerateEvent::Output { text, logprobs } => {
                let logprobs = TextLogprobs::new(self.asked, logprobs, &mut self.choices[index].offset);
                self.chunk(TextChoice { logprobs, ..bare(Cow::Borrowed(&text)) }, None, frames);
            }
            GenerateEvent::Finished { reason, usage } => {
                let finish_reason = Some(finish_reason(Some(reason)));
                self.chunk(TextChoice { finish_reason, ..bare(Cow::Borrowed("")) }, Some(&usage), frames);
                self.choices[index].usage = Some(usage);
            }
            GenerateEvent::Failed(error) => return Err(ApiError::from(error).body),
        }
        Ok(())
    }

    fn finish(&mut self, frames: &mut Frames) {
        if self.include_usage {
            let usage = total_usage(self.choices.iter().filter_map(|choice| choice.usage.as_ref()), self.n);
            let choices: &[TextChoice<'_>] = &[];
            frames.push(&Envelope { head: &self.head, choices, usage: Some(Some(usage)), timings: None });
        }
    }
}
