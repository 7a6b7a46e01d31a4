//! What a run came to, for people and for programs.

use super::BenchArgs;
use super::histogram::Histogram;
use super::load::Outcome;
use crate::output::{duration, printable};
use serde_json::{Value, json};
use std::time::Duration;

fn per_second(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// The report in lines.
pub(super) fn text(model: &str, args: &BenchArgs, outcome: &Outcome) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| lines.push(format!("{name:<16}{value}"));
    line("model", model.to_owned());
    let interrupted = if outcome.interrupted { ", interrupted" } else { "" };
    line("load", format!("{} at a time, {}{interrupted}", args.concurrency, duration(outcome.elapsed)));
    let rate = per_second(outcome.ok, outcome.elapsed);
    line("requests", format!("{} ok, {} failed, {rate:.2}/s", outcome.ok, outcome.failed()));
    line("tokens in", tokens(outcome.prompt_tokens, outcome.elapsed));
    line("tokens out", tokens(outcome.answer_tokens, outcome.elapsed));
    for (name, histogram) in [("TTFT", &outcome.ttft), ("ITL", &outcome.itl), ("latency", &outcome.latency)] {
        if let Some(values) = quantiles(histogram) {
            line(name, values);
        }
    }
    for (kind, count) in &outcome.errors {
        line("error", format!("{count} × {}", printable(kind)));
    }
    lines.join("\n")
}

fn tokens(count: u64, time: Duration) -> String {
    format!("{count}, {:.1}/s", per_second(count, time))
}

fn quantiles(histogram: &Histogram) -> Option<String> {
    let at = |share| histogram.quantile(share).map(duration);
    let mean = duration(histogram.mean()?);
    Some(format!("p50 {:<9} p90 {:<9} p99 {:<9} mean {mean}", at(0.5)?, at(0.9)?, at(0.99)?))
}

/// The report as JSON; times in milliseconds.
pub(super) fn json(model: &str, args: &BenchArgs, outcome: &Outcome) -> Value {
    json!({
        "model": model,
        "concurrency": args.concurrency,
        "prompt_tokens": args.prompt_tokens,
        "shared_prefix": args.shared_prefix,
        "max_tokens": args.max_tokens,
        "stream": args.stream,
        "seed": args.seed,
        "elapsed_s": outcome.elapsed.as_secs_f64(),
        "interrupted": outcome.interrupted,
        "requests": {
            "ok": outcome.ok,
            "failed": outcome.failed(),
            "per_second": per_second(outcome.ok, outcome.elapsed),
        },
        "tokens": {
            "in": outcome.prompt_tokens,
            "out": outcome.answer_tokens,
            "out_per_second": per_second(outcome.answer_tokens, outcome.elapsed),
        },
        "ttft_ms": milliseconds(&outcome.ttft),
        "itl_ms": milliseconds(&outcome.itl),
        "latency_ms": milliseconds(&outcome.latency),
        "errors": outcome.errors,
    })
}

fn milliseconds(histogram: &Histogram) -> Value {
    let ms = |time: Option<Duration>| time.map(|time| time.as_secs_f64() * 1e3);
    let at = |share| ms(histogram.quantile(share));
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "mean": ms(histogram.mean()) })
}
