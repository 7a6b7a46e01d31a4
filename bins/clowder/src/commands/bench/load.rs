//! The load: so many requests under way until the count or the time is used up, or Ctrl-C.

use super::BenchArgs;
use super::histogram::Histogram;
use super::prompt::Prompts;
use crate::client::{ChatPart, ChatRequest, Client, Message};
use crate::exit::Error;
use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Kinds of errors told apart; the rest is counted together.
const MAX_KINDS: usize = 20;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Requests answered.
    pub(super) ok: u64,
    /// Requests that failed, by what was said.
    pub(super) errors: BTreeMap<String, u64>,
    /// Tokens of prompts, of the requests answered.
    pub(super) prompt_tokens: u64,
    /// Tokens of answers.
    pub(super) answer_tokens: u64,
    /// From the request to the first piece.
    pub(super) ttft: Histogram,
    /// Between pieces.
    pub(super) itl: Histogram,
    /// From the request to the end.
    pub(super) latency: Histogram,
    /// Of the whole run.
    pub(super) elapsed: Duration,
    /// Whether Ctrl-C ended it.
    pub(super) interrupted: bool,
}

impl Outcome {
    /// Requests that failed.
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    fn merge(&mut self, other: Self) {
        self.ok += other.ok;
        self.prompt_tokens += other.prompt_tokens;
        self.answer_tokens += other.answer_tokens;
        self.ttft.merge(&other.ttft);
        self.itl.merge(&other.itl);
        self.latency.merge(&other.latency);
        for (kind, count) in other.errors {
            self.count_error(kind, count);
        }
    }

    fn count_error(&mut self, kind: String, count: u64) {
        let known = self.errors.len() < MAX_KINDS || self.errors.contains_key(&kind);
        *self.errors.entry(if known { kind } else { "other errors".to_owned() }).or_default() += count;
    }
}

/// What all users of a run share.
struct Run<'a> {
    client: &'a Client,
    model: &'a str,
    args: &'a BenchArgs,
    prompts: Prompts,
    options: Map<String, Value>,
    next: AtomicU64,
    stopped: AtomicBool,
    until: Option<Instant>,
}

/// Runs the load to its end.
pub(super) async fn run(client: &Client, model: &str, args: &BenchArgs) -> Outcome {
    let begun = Instant::now();
    let run = Run {
        client,
        model,
        args,
        prompts: Prompts::new(args.seed, args.prompt_tokens, args.shared_prefix),
        options: Map::from_iter([("max_tokens".to_owned(), json!(args.max_tokens))]),
        next: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
        until: args.duration.map(|duration| begun + duration),
    };
    let users = (0..args.concurrency).map(|_| run.user());
    let mut outcomes = stream::iter(users).buffer_unordered(args.concurrency as usize);
    let mut outcome = Outcome::default();
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            done = outcomes.next() => match done {
                Some(more) => outcome.merge(more),
                None => break,
            },
            // Begins no more; what is under way is counted.
            _ = &mut interrupt, if !outcome.interrupted => {
                outcome.interrupted = true;
                run.stopped.store(true, Ordering::Relaxed);
            }
        }
    }
    drop(outcomes);
    outcome.elapsed = begun.elapsed();
    outcome
}

impl Run<'_> {
    /// One request after the other.
    async fn user(&self) -> Outcome {
        let mut outcome = Outcome::default();
        while let Some(number) = self.take() {
            let request = self.request(number, &mut outcome);
            let kind = match tokio::time::timeout(self.args.timeout, Box::pin(request)).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no end after {}", humantime::format_duration(self.args.timeout)),
            };
            outcome.count_error(kind, 1);
        }
        outcome
    }

    fn take(&self) -> Option<u64> {
        let over = self.stopped.load(Ordering::Relaxed) || self.until.is_some_and(|until| Instant::now() >= until);
        let number = (!over).then(|| self.next.fetch_add(1, Ordering::Relaxed))?;
        (number < self.args.limit()).then_some(number)
    }

    async fn request(&self, number: u64, outcome: &mut Outcome) -> Result<(), Error> {
        let messages = [Message { role: "user", content: self.prompts.get(number) }];
        let request = ChatRequest::new(self.model, &messages, &self.options, self.args.stream);
        let begun = Instant::now();
        let mut parts = std::pin::pin!(self.client.chat(&request).await?);
        let (mut last, mut pieces, mut finished, mut usage) = (None, 0, false, None);
        while let Some(part) = parts.next().await {
            match part? {
                ChatPart::Text(_) => {
                    let now = Instant::now();
                    match last.replace(now) {
                        Some(before) => outcome.itl.record(now - before),
                        None if self.args.stream => outcome.ttft.record(now - begun),
                        None => {}
                    }
                    pieces += 1;
                }
                ChatPart::Finished(_) => finished = true,
                ChatPart::Usage(counts) => usage = Some(counts),
            }
        }
        if !finished {
            let source = "it ended without a finish_reason".into();
            return Err(Error::BrokenOff { server: self.client.server().to_owned(), source });
        }
        outcome.ok += 1;
        outcome.latency.record(begun.elapsed());
        outcome.prompt_tokens += usage.as_ref().map_or(0, |usage| usage.prompt_tokens);
        outcome.answer_tokens += usage.map_or(pieces, |usage| usage.completion_tokens);
        Ok(())
    }
}
