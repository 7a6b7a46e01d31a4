//! `clowder serve`: a whole engine on this machine.

use crate::context::Context;
use crate::exit::Error;
use crate::names;
use crate::output::Output;
use crate::serve::{CacheFolder, Options, Server, Termination, builtin};
use crate::sizes;
use clowder_balancer::{ApiKeysError, PolicyKind, read_api_keys};
use clowder_core::model::EngineSettings;
use clowder_core::status::{ModelPhase, ModelStatuses};
use clowder_core::{ModelName, ModelSpec, ModelUrl, Secret, chain};
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Options of `serve`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one. Off loopback, API keys are needed
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:3090")]
    address: SocketAddr,
    /// A model's URL or .gguf file, served from the first start on a home folder [default: the bundled kitten]
    #[arg(long, value_name = "SOURCE")]
    model: Option<String>,
    /// Serve no model at the first start
    #[arg(long, conflicts_with = "model")]
    no_model: bool,
    /// Tokens of context of one request, of that first model [default: the model's own, at most 8192]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(i64::from(EngineSettings::LEAST_CONTEXT)..))]
    context: Option<u32>,
    /// Requests that a worker of that first model generates at the same time [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(EngineSettings::MOST_SLOTS)))]
    slots: Option<u32>,
    /// Which worker gets a request: prefix, least-load, round-robin or power-of-two
    #[arg(long, value_name = "NAME", default_value_t = PolicyKind::default())]
    policy: PolicyKind,
    /// A file of API keys for /v1, one a line; without it, /v1 is open to this machine alone
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// A host name that an open /v1 answers to, besides localhost; may be given again
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Where models are kept [default: HOME/cache]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Memory that workers may take together, such as 24GiB [default: the machine's, less a reserve]
    #[arg(long, value_name = "BYTES", value_parser = sizes::parse)]
    memory: Option<u64>,
    /// How long requests may go on after Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    drain: Duration,
}

impl ServeArgs {
    fn api_keys(&self) -> Result<Vec<Secret>, Error> {
        let Some(path) = &self.api_key_file else { return Ok(Vec::new()) };
        read_api_keys(path).map_err(|error| match error {
            ApiKeysError::NotFound { .. } => Error::not_found(error.to_string()),
            error => Error::usage(chain(&error)),
        })
    }

    fn options(&self) -> Result<Options, Error> {
        let source = match (&self.model, self.no_model) {
            (_, true) => None,
            (Some(typed), _) => Some(names::source(typed)?),
            (None, _) => Some(ModelUrl::Builtin(builtin::NAMES[0].to_owned())),
        };
        let engine = EngineSettings { context: self.context, slots: self.slots, ..EngineSettings::default() };
        let spec = |source| -> Result<ModelSpec, Error> {
            Ok(ModelSpec { engine, ..ModelSpec::new(names::default_name(&source)?, source) })
        };
        let first_model = source.map(spec).transpose()?;
        Ok(Options {
            address: self.address,
            first_model,
            policy: self.policy,
            api_keys: self.api_keys()?,
            allowed_hosts: self.allow_host.clone(),
            cache: self.cache_dir.clone().map_or(CacheFolder::Home, CacheFolder::At),
            memory: self.memory,
            drain: self.drain,
        })
    }
}

/// Serves until Ctrl-C or `SIGTERM`, then lets requests finish and ends the workers.
pub(crate) async fn run(args: ServeArgs, context: Context) -> Result<(), Error> {
    let mut termination = Termination::listen()?;
    let mut server = Server::start(&context.home, args.options()?).await?;
    let url = server.url();
    say(context.output, &format!("Clowder serves at {url}"))?;
    say(context.output, &format!("  OpenAI API   {url}/v1"))?;
    say(context.output, &format!("  admin token  {}", context.home.admin_token().display()))?;
    let served = tokio::select! {
        served = serve(&mut server, context.output) => served,
        () = termination.next() => Ok(()),
    };
    say(context.output, "Ending: requests under way may finish. Ctrl-C ends at once.")?;
    tokio::select! {
        () = server.stop() => served,
        () = termination.next() => Err(Error::Interrupted),
    }
}

/// Announces the first model that is ready; returns only where a part of the server ends by itself.
async fn serve(server: &mut Server, output: Output) -> Result<(), Error> {
    tokio::select! {
        announced = announce(server.statuses(), server.url(), output) => announced?,
        error = server.failure() => return Err(error.into()),
    }
    Err(server.failure().await.into())
}

async fn announce(mut statuses: watch::Receiver<Arc<ModelStatuses>>, url: String, output: Output) -> Result<(), Error> {
    let mut said = BTreeSet::new();
    loop {
        let now = Arc::clone(&statuses.borrow_and_update());
        for (name, model) in now.iter() {
            if model.ready() > 0 {
                return say(output, &question(name, &url));
            }
            if let Some(reason) = model.reason.as_ref().filter(|_| model.phase == ModelPhase::Failed)
                && said.insert(name.clone())
            {
                say(output, &format!("Model {name} does not serve: {reason}"))?;
            }
        }
        if statuses.changed().await.is_err() {
            return Ok(());
        }
    }
}

fn question(model: &ModelName, url: &str) -> String {
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "What is Clowder?" }] });
    format!(
        "Model {model} is ready. Ask it:\n  curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' -d '{body}'"
    )
}

/// A server goes on where nobody reads what it says.
fn say(output: Output, text: &str) -> Result<(), Error> {
    match output.line(text) {
        Err(Error::OutputClosed) => Ok(()),
        other => other,
    }
}
