//! `clowder deploy`: serve a model.

use crate::client::{Client, ModelView};
use crate::commands::wait::{self, WaitArgs};
use crate::context::Context;
use crate::exit::Error;
use crate::home::read_secret;
use crate::names;
use crate::progress::Progress;
use crate::replicas::Replicas;
use crate::sizes;
use clowder_core::model::{Draft, EngineSettings, InvalidModelName, KvType, Setting};
use clowder_core::{ModelName, ModelSpec, ModelUrl, Secret};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

const PRIORITIES: std::ops::RangeInclusive<i64> = -(ModelSpec::MOST_PRIORITY as i64)..=ModelSpec::MOST_PRIORITY as i64;

/// Options of `deploy`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DeployArgs {
    /// A model's URL (hf://OWNER/REPO:Q4_K_M, https://…, file:///…), a .gguf file, or a bundled model (kitten)
    source: String,
    /// The name that clients ask for [default: made from the source]
    #[arg(long)]
    name: Option<ModelName>,
    /// A further name that clients may ask for it by; may be given again
    #[arg(long, value_name = "NAME")]
    also_as: Vec<ModelName>,
    /// Workers that serve it: a number, or bounds such as 0..3, within which they follow the demand
    #[arg(long, value_name = "N", default_value = "1")]
    replicas: Replicas,
    /// A node that a replica must run on; given again, for one replica more
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// Memory that each worker is promised, such as 6GiB [default: what the model's header and its settings come to]
    #[arg(long, value_name = "BYTES", value_parser = sizes::parse)]
    memory: Option<u64>,
    /// Who comes first where memory is short: the larger number; it may take the place of a lesser one's workers [default: 0]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(PRIORITIES))]
    priority: Option<i32>,
    /// The SHA-256 that the model's file must have, sha256:HEX
    #[arg(long)]
    digest: Option<clowder_core::source::Digest>,
    /// A LoRA adapter, which clients ask for by its name in place of the model's: NAME=SOURCE; may be given again
    #[arg(long, value_name = "NAME=SOURCE", value_parser = adapter)]
    adapter: Vec<(ModelName, String)>,
    /// Keep the files on the nodes that have them, whatever else needs the room
    #[arg(long)]
    pin: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    credentials: CredentialsArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// How workers run a model.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// Tokens of context of one request [default: the model's own, at most 8192]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(i64::from(EngineSettings::LEAST_CONTEXT)..))]
    context: Option<u32>,
    /// Requests that a worker generates at the same time [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(EngineSettings::MOST_SLOTS)))]
    slots: Option<u32>,
    /// Number format of the KV cache: f16, f32, q8_0 or q4_0 [default: f16]
    #[arg(long, value_name = "TYPE")]
    kv_type: Option<KvType>,
    /// Threads of a worker [default: the physical cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(EngineSettings::MOST_THREADS)))]
    threads: Option<u32>,
    /// Layers kept on an accelerator [default: all]
    #[arg(long, value_name = "N")]
    gpu_layers: Option<u32>,
    /// A smaller model of the same vocabulary that guesses ahead: the same output, sooner
    #[arg(long, value_name = "SOURCE")]
    draft: Option<String>,
    /// The most tokens that it guesses at once [default: 8]
    #[arg(long, value_name = "N", requires = "draft", value_parser = clap::value_parser!(u32).range(1..=i64::from(Draft::MOST_TOKENS)))]
    draft_tokens: Option<u32>,
    /// A further setting of llama.cpp by its own name, such as flash_attn=on; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = Setting::pair)]
    set: Vec<(String, String)>,
}

/// What a model's source asks for.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct CredentialsArgs {
    /// A file whose first line is what the source asks for (a Hugging Face token, say); CLOWDER_CREDENTIALS holds it itself
    #[arg(long, value_name = "FILE")]
    credentials_file: Option<PathBuf>,
    /// How it is presented: bearer (a token), or basic (base64 of user:password)
    #[arg(long, value_name = "TYPE", default_value = "bearer", value_parser = ["bearer", "basic"])]
    credentials_type: String,
}

impl CredentialsArgs {
    /// The credentials, where there are any.
    pub(crate) fn read(&self) -> Result<Option<Secret>, Error> {
        match &self.credentials_file {
            Some(path) => {
                let missing = || Error::not_found(format!("there is no credentials file {}", path.display()));
                read_secret(path)?.ok_or_else(missing).map(Some)
            }
            None => Ok(std::env::var("CLOWDER_CREDENTIALS").ok().filter(|value| !value.is_empty()).map(Secret::new)),
        }
    }

    /// How they are presented.
    pub(crate) fn kind(&self) -> clowder_core::secret::CredentialsKind {
        match self.credentials_type.as_str() {
            "basic" => clowder_core::secret::CredentialsKind::Basic,
            _ => clowder_core::secret::CredentialsKind::Bearer,
        }
    }
}

fn adapter(text: &str) -> Result<(ModelName, String), String> {
    let (name, source) = text.split_once('=').ok_or("write NAME=SOURCE")?;
    Ok((name.parse().map_err(|error: InvalidModelName| error.to_string())?, source.to_owned()))
}

/// Records the model and waits for it.
pub(crate) async fn run(args: DeployArgs, context: Context) -> Result<(), Error> {
    let client = context.client()?;
    let source = names::source(&args.source)?;
    let answer = client.deploy(&body(&args, &source)?).await?;
    let mut model: ModelView = answer.read()?;
    let mut value = answer.value;
    if let Some(limit) = args.wait.time() {
        let mut progress = Progress::new(context.output);
        model = wait::until_ready(&client, &model, limit, &mut progress).await?;
        value = client.model(&model.name).await?.value;
    }
    if context.output.is_json() {
        return context.output.json(&value);
    }
    context.output.line(&outcome(&client, &model))
}

/// Records a model with all choices left to the server.
pub(crate) async fn deploy_default(client: &Client, source: &ModelUrl) -> Result<ModelView, Error> {
    client.deploy(&json!({ "source": source.to_string() })).await?.read()
}

fn outcome(client: &Client, model: &ModelView) -> String {
    match model.ready {
        0 => format!("{} is recorded; `clowder ps` shows how it fares", model.name),
        ready => {
            let workers = if ready == 1 { "1 worker".to_owned() } else { format!("{ready} workers") };
            format!("{} is served by {workers} at {}/v1", model.name, client.server())
        }
    }
}

fn body(args: &DeployArgs, source: &ModelUrl) -> Result<Value, Error> {
    let mut body = Map::new();
    body.insert("source".into(), source.to_string().into());
    args.replicas.write(&mut body);
    if let Some(name) = &args.name {
        body.insert("name".into(), name.as_str().into());
    }
    if !args.also_as.is_empty() {
        body.insert("aliases".into(), json!(args.also_as));
    }
    if let Some(memory) = args.memory {
        body.insert("memory".into(), memory.into());
    }
    if let Some(priority) = args.priority {
        body.insert("priority".into(), priority.into());
    }
    if let Some(digest) = args.digest {
        body.insert("digest".into(), digest.to_string().into());
    }
    if let Some(secret) = args.credentials.read()? {
        body.insert("credentials".into(), secret.expose().into());
        body.insert("credentials_type".into(), args.credentials.credentials_type.as_str().into());
    }
    if !args.node.is_empty() {
        body.insert("placement".into(), json!({ "pinned": args.node }));
    }
    if !args.adapter.is_empty() {
        let adapters = args.adapter.iter().map(|(name, source)| {
            let source = names::source(source)?;
            Ok(json!({ "name": name, "source": source.to_string() }))
        });
        body.insert("adapters".into(), adapters.collect::<Result<Vec<_>, Error>>()?.into());
    }
    if args.pin {
        body.insert("cache".into(), json!({ "pin": true }));
    }
    let engine = engine(&args.engine)?;
    if !engine.is_empty() {
        body.insert("engine".into(), engine.into());
    }
    Ok(body.into())
}

/// Only what was said: the server's defaults stay the server's.
fn engine(args: &EngineArgs) -> Result<Map<String, Value>, Error> {
    let numbers =
        [("context", args.context), ("slots", args.slots), ("threads", args.threads), ("gpu_layers", args.gpu_layers)];
    let mut engine: Map<String, Value> =
        numbers.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect();
    if let Some(kv_type) = args.kv_type {
        engine.insert("kv_type".into(), json!(kv_type));
    }
    if let Some(draft) = &args.draft {
        let mut draft = json!({ "source": names::source(draft)?.to_string() });
        if let Some(tokens) = args.draft_tokens {
            draft["tokens"] = tokens.into();
        }
        engine.insert("draft".into(), draft);
    }
    if !args.set.is_empty() {
        engine.insert("extra".into(), json!(args.set.iter().cloned().collect::<BTreeMap<_, _>>()));
    }
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use crate::cli::{Command, command};
    use clap::FromArgMatches;

    fn body(args: &[&str]) -> serde_json::Value {
        let args = [&["clowder", "deploy"], args].concat();
        let matches = command().try_get_matches_from(args).unwrap();
        let Command::Deploy(args) = crate::cli::Cli::from_arg_matches(&matches).unwrap().command else { panic!() };
        super::body(&args, &"builtin:kitten".parse().unwrap()).unwrap()
    }

    #[test]
    fn only_what_was_said_is_sent() {
        let bounds = serde_json::json!({ "source": "builtin:kitten", "autoscaling": { "min": 0, "max": 2 } });
        assert_eq!(body(&["kitten", "--replicas", "0..2"]), bounds);
        assert_eq!(body(&["kitten"]), serde_json::json!({ "source": "builtin:kitten", "replicas": 1 }));
        let said = ["kitten", "--also-as", "cat", "--also-as", "gpt", "--memory", "6GiB", "--priority", "-5"];
        assert_eq!(
            body(&said),
            serde_json::json!({
                "source": "builtin:kitten", "replicas": 1, "aliases": ["cat", "gpt"], "memory": 6_442_450_944_u64,
                "priority": -5
            })
        );
        let said = [
            "kitten",
            "--pin",
            "--adapter",
            "pirate=https://h/p.gguf",
            "--draft",
            "kitten",
            "--draft-tokens",
            "4",
            "--set",
            "use_mmap=false",
        ];
        assert_eq!(
            body(&said),
            serde_json::json!({
                "source": "builtin:kitten", "replicas": 1, "cache": { "pin": true },
                "adapters": [{ "name": "pirate", "source": "https://h/p.gguf" }],
                "engine": {
                    "draft": { "source": "builtin:kitten", "tokens": 4 }, "extra": { "use_mmap": "false" }
                }
            })
        );
        let said = ["kitten", "--name", "k", "--slots", "2", "--kv-type", "q8_0", "--node", "a", "--node", "b"];
        assert_eq!(
            body(&said),
            serde_json::json!({
                "source": "builtin:kitten", "replicas": 1, "name": "k",
                "placement": { "pinned": ["a", "b"] }, "engine": { "slots": 2, "kv_type": "q8_0" }
            })
        );
    }
}
