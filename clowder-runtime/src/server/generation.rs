//! From a validated request to the events of its alternatives.

use super::error::ApiError;
use super::params::Params;
use super::state::Serving;
use super::wire::{Timings, UsageBody};
use clowder_core::BoxStream;
use clowder_core::engine::{EngineError, FinishReason, GenerateEvent, Token, TokenLogprob, Usage};
use futures::{StreamExt, stream};

/// An event and the alternative it belongs to.
pub(crate) type Indexed = (usize, GenerateEvent);

/// The events of all alternatives of a request, as they come.
pub(crate) struct Generation {
    events: BoxStream<Indexed>,
    /// Alternatives in it.
    pub(crate) choices: usize,
}

impl Generation {
    /// Begins `n` alternatives of each prompt and waits for the first event, so that what fails at once is an HTTP error
    /// and no broken stream.
    pub(crate) async fn begin(serving: &Serving, prompts: Vec<Vec<Token>>, params: &Params) -> Result<Self, ApiError> {
        let mut streams = Vec::with_capacity(prompts.len() * params.n);
        for prompt in prompts {
            for choice in 0..params.n {
                let request = params.request(prompt.clone(), u32::try_from(choice).unwrap_or(0));
                let index = streams.len();
                let events = serving.engine.generate(request).await?;
                streams.push(events.map(move |event| (index, event)).boxed());
            }
        }
        let choices = streams.len();
        let mut events = stream::select_all(streams);
        match events.next().await {
            Some((_, GenerateEvent::Failed(error))) => Err(error.into()),
            first => Ok(Self { events: stream::iter(first).chain(events).boxed(), choices }),
        }
    }

    /// The next event of any alternative; `None` after the last of all.
    pub(crate) async fn next(&mut self) -> Option<Indexed> {
        self.events.next().await
    }

    /// Waits for all alternatives.
    pub(crate) async fn collect(mut self) -> Result<Vec<Answer>, EngineError> {
        let mut answers: Vec<Answer> = (0..self.choices).map(|_| Answer::default()).collect();
        while let Some((index, event)) = self.next().await {
            let answer = &mut answers[index];
            match event {
                GenerateEvent::Output { text, logprobs } => {
                    answer.text.push_str(&text);
                    answer.logprobs.extend(logprobs);
                }
                GenerateEvent::Finished { reason, usage } => {
                    answer.reason = Some(reason);
                    answer.usage = usage;
                }
                GenerateEvent::Failed(error) => return Err(error),
            }
        }
        Ok(answers)
    }
}

/// One alternative, whole.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) logprobs: Vec<TokenLogprob>,
    pub(crate) reason: Option<FinishReason>,
    pub(crate) usage: Usage,
}

/// OpenAI's word for the end of an alternative.
pub(crate) fn finish_reason(reason: Option<FinishReason>) -> &'static str {
    match reason {
        Some(FinishReason::Length) => "length",
        _ => "stop",
    }
}

/// The usage of a request: each prompt counts once, however many alternatives it has.
pub(crate) fn total_usage<'a>(usages: impl IntoIterator<Item = &'a Usage>, n: usize) -> UsageBody {
    let mut body = UsageBody::default();
    for (index, usage) in usages.into_iter().enumerate() {
        if index % n.max(1) == 0 {
            body.prompt_tokens += usage.prompt;
            body.prompt_tokens_details.cached_tokens += usage.cached;
        }
        body.completion_tokens += usage.completion;
        let details = &mut body.completion_tokens_details;
        details.accepted_prediction_tokens += usage.accepted;
        details.rejected_prediction_tokens += usage.drafted.saturating_sub(usage.accepted);
    }
    body.total_tokens = body.prompt_tokens + body.completion_tokens;
    body
}

/// llama-server's timings of one alternative.
pub(crate) fn timings(usage: &Usage) -> Timings {
    let evaluated = usage.prompt.saturating_sub(usage.cached);
    let each = |milliseconds: f64, tokens: u32| if tokens == 0 { 0.0 } else { milliseconds / f64::from(tokens) };
    let rate = |milliseconds: f64, tokens: u32| {
        if milliseconds > 0.0 { f64::from(tokens) * 1000.0 / milliseconds } else { 0.0 }
    };
    Timings {
        cache_n: usage.cached,
        prompt_n: evaluated,
        prompt_ms: usage.prefill_ms,
        prompt_per_token_ms: each(usage.prefill_ms, evaluated),
        prompt_per_second: rate(usage.prefill_ms, evaluated),
        predicted_n: usage.completion,
        predicted_ms: usage.decode_ms,
        predicted_per_token_ms: each(usage.decode_ms, usage.completion),
        predicted_per_second: rate(usage.decode_ms, usage.completion),
        draft_n: (usage.drafted > 0).then_some(usage.drafted),
        draft_n_accepted: (usage.drafted > 0).then_some(usage.accepted),
    }
}
