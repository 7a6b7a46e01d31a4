//! `clowder bench`: a model under load.

mod histogram;
mod load;
mod prompt;
mod report;

use crate::commands::no_such_model;
use crate::context::Context;
use crate::exit::Error;
use std::time::Duration;

/// Requests where neither a count nor a time is given.
const DEFAULT_REQUESTS: u64 = 32;
/// The most requests of a run.
const MAX_REQUESTS: u64 = 1_000_000;

/// Options of `bench`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// The model's name [default: the only one that is served]
    #[arg(long, short)]
    pub(crate) model: Option<String>,
    /// Requests under way at the same time
    #[arg(long, short, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) concurrency: u32,
    /// Requests in all [default: 32, or as many as fit into --duration]
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_REQUESTS))]
    pub(crate) requests: Option<u64>,
    /// How long requests are begun: 10s, 5m
    #[arg(long, short, value_name = "TIME", value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Length of each prompt, in tokens, about
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) prompt_tokens: u32,
    /// Share of each prompt that all of them begin with: 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub(crate) shared_prefix: f64,
    /// The longest answer, in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_tokens: u32,
    /// Take answers piece by piece or whole: whole ones have no time to first token
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) stream: bool,
    /// How long one request may take
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// The same number gives the same prompts
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|e| e.to_string())?;
    let day = Duration::from_secs(24 * 3600);
    if time.is_zero() || time > day { Err("take more than 0s and at most 1day".into()) } else { Ok(time) }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "take a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("take a number from 0 to 1".into()) }
}

impl BenchArgs {
    /// The most requests begun.
    fn limit(&self) -> u64 {
        self.requests.unwrap_or(if self.duration.is_some() { MAX_REQUESTS } else { DEFAULT_REQUESTS })
    }
}

/// Runs the load and reports; fails where a request did.
pub(crate) async fn run(args: BenchArgs, context: Context) -> Result<(), Error> {
    let client = context.client()?;
    let names = client.model_names().await?;
    let model = match &args.model {
        Some(name) if names.contains(name) => name.clone(),
        Some(name) => return Err(no_such_model(&client, name).await),
        None if names.len() == 1 => names.into_iter().next().unwrap_or_default(),
        None if names.is_empty() => {
            let message = format!("no model is served at {}: `clowder deploy SOURCE` serves one", client.server());
            return Err(Error::not_found(message));
        }
        None => {
            let names: Vec<String> = names.into_iter().collect();
            return Err(Error::usage(format!("which model? name one with --model: {}", names.join(", "))));
        }
    };
    let outcome = load::run(&client, &model, &args).await;
    if context.output.is_json() {
        context.output.json(&report::json(&model, &args, &outcome))?;
    } else {
        context.output.line(&report::text(&model, &args, &outcome))?;
    }
    if outcome.failed() > 0 || outcome.ok == 0 { Err(Error::Reported) } else { Ok(()) }
}
