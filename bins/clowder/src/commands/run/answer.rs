//! One answer, printed as it comes.

use super::settings::Settings;
use crate::client::{ChatPart, ChatRequest, Client, Message, Usage};
use crate::exit::Error;
use crate::output::{Output, printable};
use futures::StreamExt;
use serde_json::json;
use std::time::{Duration, Instant};

/// How an answer is printed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Printing {
    /// As it comes, cleaned of what could steer the terminal.
    Terminal(Output),
    /// As it comes, byte for byte.
    Pipe(Output),
    /// At its end, as one JSON document.
    Json(Output),
}

impl Printing {
    /// What suits the output.
    pub(super) fn of(output: Output) -> Self {
        match (output.is_json(), output.is_terminal()) {
            (true, _) => Self::Json(output),
            (false, true) => Self::Terminal(output),
            (false, false) => Self::Pipe(output),
        }
    }

    fn piece(self, text: &str) -> Result<(), Error> {
        match self {
            Self::Terminal(output) => output.write(&printable(text)),
            Self::Pipe(output) => output.write(text),
            Self::Json(_) => Ok(()),
        }
    }
}

/// An answer as it ended, or as far as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Its text.
    pub(super) text: String,
    /// Why it ended, where it did.
    pub(super) finish: Option<String>,
    /// Token counts, where the server gave them.
    pub(super) usage: Usage,
    /// From the question to the first piece.
    pub(super) first: Option<Duration>,
    /// From the question to the end.
    pub(super) total: Duration,
    /// Whether Ctrl-C ended it.
    pub(super) interrupted: bool,
}

impl Answer {
    /// Tokens per second after the first.
    pub(super) fn rate(&self) -> Option<f64> {
        let time = self.total.checked_sub(self.first?)?.as_secs_f64();
        let tokens = self.usage.completion_tokens.checked_sub(1)?;
        (time > 0.0 && tokens > 0).then(|| tokens as f64 / time)
    }
}

/// Asks and prints. Ctrl-C ends the answer: what came until then is the answer.
pub(super) async fn answer(
    client: &Client,
    model: &str,
    messages: &[Message],
    settings: &Settings,
    printing: Printing,
) -> Result<Answer, Error> {
    let begun = Instant::now();
    let mut answer = Answer::default();
    let request = ChatRequest::new(model, messages, settings.options(), true);
    let ended = tokio::select! {
        result = stream(client, &request, printing, begun, &mut answer) => Some(result),
        _ = tokio::signal::ctrl_c() => None,
    };
    answer.interrupted = ended.is_none();
    answer.total = begun.elapsed();
    // A message on the line of a half answer is hard to read.
    let ends_line = !answer.text.is_empty() && !answer.text.ends_with('\n');
    match printing {
        Printing::Terminal(output) | Printing::Pipe(output) if ends_line => output.line("")?,
        _ => {}
    }
    ended.unwrap_or(Ok(()))?;
    if let Printing::Json(output) = printing {
        output.json(&json!({
            "model": model,
            "content": answer.text,
            "finish_reason": answer.finish,
            "usage": {
                "prompt_tokens": answer.usage.prompt_tokens,
                "completion_tokens": answer.usage.completion_tokens,
            },
            "ttft_ms": answer.first.map(|time| time.as_secs_f64() * 1e3),
            "total_ms": answer.total.as_secs_f64() * 1e3,
        }))?;
    }
    Ok(answer)
}

async fn stream(
    client: &Client,
    request: &ChatRequest<'_>,
    printing: Printing,
    begun: Instant,
    answer: &mut Answer,
) -> Result<(), Error> {
    let mut parts = std::pin::pin!(client.chat(request).await?);
    while let Some(part) = parts.next().await {
        match part? {
            ChatPart::Text(text) => {
                answer.first.get_or_insert_with(|| begun.elapsed());
                printing.piece(&text)?;
                answer.text.push_str(&text);
            }
            ChatPart::Finished(reason) => answer.finish = Some(reason),
            ChatPart::Usage(usage) => answer.usage = usage,
        }
    }
    Ok(())
}
