//! The command line of a worker, shared by the binaries that run one.

use crate::engine::{AdapterFile, DraftFile, EngineOptions};
use crate::worker::WorkerOptions;
use clowder_core::model::{Draft, EngineSettings, InvalidModelName, KvType, ModelSpec, Setting};
use clowder_core::{ModelName, Secret};
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Carries the API key itself; unlike a flag, other users of the machine cannot read it.
const API_KEY: &str = "CLOWDER_WORKER_API_KEY";

/// Between the values of a variable that stands for a repeated flag: paths and values may have anything else in them.
const LINE: char = '\n';

/// What is typed; [`options`](Self::options) is what it means. A flag goes before its environment variable, that before
/// the default. A flag that may be repeated takes from its variable one value a line.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerArgs {
    /// GGUF file of the model; the first of several where it is split
    #[arg(long, env = "CLOWDER_WORKER_MODEL_PATH", value_name = "PATH")]
    pub model_path: PathBuf,
    /// File to lock shared (flock) as long as the model is used, so that a cache does not remove it; ends with 4 where it, or
    /// a file of the model, is not there any more. May be repeated; in the variable one a line
    #[arg(long, env = "CLOWDER_WORKER_HOLD", value_name = "PATH", value_delimiter = LINE)]
    pub hold: Vec<PathBuf>,
    /// LoRA adapter, a GGUF file, and the name that clients ask for it by. May be repeated; in the variable one a line
    #[arg(long = "adapter", env = "CLOWDER_WORKER_ADAPTERS", value_name = "NAME=PATH", value_delimiter = LINE,
          value_parser = adapter)]
    pub adapters: Vec<AdapterFile>,
    /// GGUF file of a smaller model with the same vocabulary, which guesses ahead what the model then checks: the same
    /// output, sooner
    #[arg(long, env = "CLOWDER_WORKER_DRAFT", value_name = "PATH")]
    pub draft: Option<PathBuf>,
    /// The most tokens that the draft model guesses at once
    #[arg(long, env = "CLOWDER_WORKER_DRAFT_TOKENS", default_value_t = Draft::DEFAULT_TOKENS, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(Draft::MOST_TOKENS)))]
    pub draft_tokens: u32,
    /// Further setting of llama.cpp, such as flash_attn=on; a wrong name is told with those there are. May be repeated; in
    /// the variable one a line
    #[arg(long = "set", env = "CLOWDER_WORKER_SET", value_name = "NAME=VALUE", value_delimiter = LINE,
          value_parser = Setting::pair)]
    pub extra: Vec<(String, String)>,
    /// Name that clients ask for [default: the file's name]
    #[arg(long, env = "CLOWDER_WORKER_ALIAS", value_name = "NAME")]
    pub alias: Option<ModelName>,
    /// Address to listen on
    #[arg(long, env = "CLOWDER_WORKER_HOST", default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, env = "CLOWDER_WORKER_PORT", default_value_t = 8000)]
    pub port: u16,
    /// Requests generated at the same time
    #[arg(long, env = "CLOWDER_WORKER_SLOTS", default_value_t = EngineSettings::DEFAULT_SLOTS, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(EngineSettings::MOST_SLOTS)))]
    pub slots: u32,
    /// Tokens of context of one request [default: what the model was trained for, at most 8192]
    #[arg(long, env = "CLOWDER_WORKER_CONTEXT", value_name = "TOKENS",
          value_parser = clap::value_parser!(u32).range(i64::from(EngineSettings::LEAST_CONTEXT)..))]
    pub context: Option<u32>,
    /// Number format of the KV cache: f16, f32, q8_0 or q4_0
    #[arg(long, env = "CLOWDER_WORKER_KV_TYPE", default_value = "f16", value_name = "TYPE")]
    pub kv_type: KvType,
    /// Threads that evaluate [default: the physical cores; one for a model below 32 MiB]
    #[arg(long, env = "CLOWDER_WORKER_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(EngineSettings::MOST_THREADS)))]
    pub threads: Option<u32>,
    /// Layers on an accelerator [default: all that fit, in a build that has one]
    #[arg(long, env = "CLOWDER_WORKER_GPU_LAYERS", value_name = "N")]
    pub gpu_layers: Option<u32>,
    /// Requests that may wait for a slot
    #[arg(long, env = "CLOWDER_WORKER_QUEUE", default_value_t = 64, value_name = "N")]
    pub queue: u32,
    /// File with the API key that requests must bring; the variable CLOWDER_WORKER_API_KEY may hold the key itself
    #[arg(long, env = "CLOWDER_WORKER_API_KEY_FILE", value_name = "PATH")]
    pub api_key_file: Option<PathBuf>,
    /// Listen beyond this machine without an API key: only the gateway reaches this address
    #[arg(long, env = "CLOWDER_WORKER_TRUSTED_NETWORK")]
    pub trusted_network: bool,
    /// Seconds to finish what is begun, once told to end
    #[arg(long, env = "CLOWDER_WORKER_DRAIN_SECONDS", default_value_t = 300, value_name = "SECONDS")]
    pub drain_seconds: u64,
    /// Announce the endpoint on standard output and end with standard input
    #[arg(long, hide = true)]
    pub supervised: bool,
}

/// Why arguments mean nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// The file's name cannot be the model's.
    #[error("the file's name is no name for a model, give one with --alias")]
    NoAlias(#[source] InvalidModelName),
    /// More adapters than a worker takes.
    #[error("{0} adapters are more than the {most} that a worker takes", most = ModelSpec::MOST_ADAPTERS)]
    TooManyAdapters(usize),
    /// A name that means two things.
    #[error("--adapter {0} has the name of another adapter, or the model's: give each a name of its own")]
    AdapterName(ModelName),
    /// The file of the API key cannot be read.
    #[error("the API key cannot be read from {path}")]
    ApiKeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// An API key of no characters.
    #[error("the API key in {place} is empty")]
    EmptyApiKey {
        /// Where it was looked for.
        place: String,
    },
}

/// Why the value of a flag that takes `NAME=…` means nothing.
#[derive(Debug, thiserror::Error)]
enum InvalidPair {
    #[error("write NAME=PATH")]
    NoPath,
    #[error(transparent)]
    Name(#[from] InvalidModelName),
}

impl WorkerArgs {
    /// What the arguments mean.
    ///
    /// # Errors
    /// [`ArgsError`].
    pub fn options(self) -> Result<WorkerOptions, ArgsError> {
        let alias = match self.alias {
            Some(alias) => alias,
            None => name_of(&self.model_path).map_err(ArgsError::NoAlias)?,
        };
        check_adapters(&alias, &self.adapters)?;
        let settings = EngineSettings {
            context: self.context,
            slots: Some(self.slots),
            kv_type: self.kv_type,
            threads: self.threads,
            gpu_layers: self.gpu_layers,
            extra: self.extra.into_iter().collect(),
            ..EngineSettings::default()
        };
        let draft = self.draft.map(|path| DraftFile { path, tokens: self.draft_tokens });
        Ok(WorkerOptions {
            hold: self.hold,
            host: self.host,
            port: self.port,
            engine: EngineOptions { settings, adapters: self.adapters, draft, queue: self.queue },
            api_key: api_key(self.api_key_file)?,
            trusted_network: self.trusted_network,
            supervised: self.supervised,
            drain: Duration::from_secs(self.drain_seconds),
            ..WorkerOptions::new(self.model_path, alias)
        })
    }
}

fn check_adapters(alias: &ModelName, adapters: &[AdapterFile]) -> Result<(), ArgsError> {
    if adapters.len() > ModelSpec::MOST_ADAPTERS {
        return Err(ArgsError::TooManyAdapters(adapters.len()));
    }
    let mut names = BTreeSet::from([alias]);
    match adapters.iter().find(|adapter| !names.insert(&adapter.name)) {
        Some(twice) => Err(ArgsError::AdapterName(twice.name.clone())),
        None => Ok(()),
    }
}

fn adapter(text: &str) -> Result<AdapterFile, InvalidPair> {
    let (name, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or(InvalidPair::NoPath)?;
    Ok(AdapterFile { name: name.parse()?, path: path.into() })
}

fn name_of(path: &Path) -> Result<ModelName, InvalidModelName> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.chars().take(63).collect::<String>().parse()
}

fn api_key(file: Option<PathBuf>) -> Result<Option<Secret>, ArgsError> {
    let (key, place) = match file {
        Some(path) => {
            let place = path.display().to_string();
            (std::fs::read_to_string(&path).map_err(|source| ArgsError::ApiKeyFile { path, source })?, place)
        }
        None => match std::env::var(API_KEY) {
            Ok(key) => (key, API_KEY.to_owned()),
            Err(_) => return Ok(None),
        },
    };
    match key.trim() {
        "" => Err(ArgsError::EmptyApiKey { place }),
        key => Ok(Some(Secret::new(key))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    fn parse(more: &[&str]) -> Result<WorkerArgs, clap::Error> {
        let given = ["worker", "--model-path", "/models/Tiny-Q8_0.gguf"].iter().chain(more);
        Cli::try_parse_from(given).map(|cli| cli.worker)
    }

    #[test]
    fn the_command_line_of_a_supervisor_is_understood() {
        let given = "--alias tiny --host 127.0.0.1 --port 0 --slots 2 --kv-type q8_0 --context 512 --threads 3 \
                     --gpu-layers 0 --supervised";
        let options = parse(&given.split_whitespace().collect::<Vec<_>>()).unwrap().options().unwrap();
        let settings = EngineSettings {
            context: Some(512),
            slots: Some(2),
            kv_type: KvType::Q8_0,
            threads: Some(3),
            gpu_layers: Some(0),
            ..EngineSettings::default()
        };
        assert_eq!(options.engine.settings, settings);
        assert_eq!((options.alias.as_str(), options.port, options.supervised), ("tiny", 0, true));
    }

    #[test]
    fn a_model_is_named_after_its_file() {
        assert_eq!(parse(&[]).unwrap().options().unwrap().alias.as_str(), "Tiny-Q8_0");
    }

    #[test]
    fn what_is_to_be_held_is_handed_on() {
        assert!(parse(&[]).unwrap().options().unwrap().hold.is_empty());
        let options = parse(&["--hold", "/models/tiny.hold", "--hold", "/models/a,b.hold"]).unwrap().options().unwrap();
        assert_eq!(options.hold, [Path::new("/models/tiny.hold"), Path::new("/models/a,b.hold")]);
    }

    #[test]
    fn companions_and_further_settings_are_understood() {
        let given = "--adapter pirate=/a=1.gguf --adapter poet=/b.gguf --draft /d.gguf --draft-tokens 4 --set \
                     tensor_split=3,1 --set flash_attn=on";
        let engine = parse(&given.split_whitespace().collect::<Vec<_>>()).unwrap().options().unwrap().engine;
        let file = |name: &str, path: &str| AdapterFile { name: name.parse().unwrap(), path: path.into() };
        assert_eq!(engine.adapters, [file("pirate", "/a=1.gguf"), file("poet", "/b.gguf")]);
        assert_eq!(engine.draft, Some(DraftFile { path: "/d.gguf".into(), tokens: 4 }));
        let extra: Vec<_> = engine.settings.extra.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(extra, [("flash_attn", "on"), ("tensor_split", "3,1")]);
    }

    #[test]
    fn a_variable_has_one_value_a_line() {
        let args = parse(&["--set", "use_mmap=false\ntensor_split=3,1"]).unwrap();
        assert_eq!(args.extra.len(), 2);
    }

    #[test]
    fn companions_that_make_no_sense_are_refused_with_what_to_write() {
        for (wrong, said) in [
            (["--adapter", "pirate"], "write NAME=PATH"),
            (["--adapter", "pirate="], "write NAME=PATH"),
            (["--adapter", "a b=/x"], "not usable"),
            (["--set", "flash_attn"], "write NAME=VALUE"),
            (["--set", "mmap=true"], "there are flash_attn, use_mmap"),
            (["--set", "use_mmap=maybe"], "use_mmap takes true or false"),
            (["--draft-tokens", "65"], "1..=64"),
        ] {
            let error = parse(&wrong).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let twice = |given: &[&str]| parse(given).unwrap().options().unwrap_err().to_string();
        assert!(twice(&["--adapter", "a=/x", "--adapter", "a=/y"]).contains("--adapter a has the name of another"));
        assert!(twice(&["--alias", "m", "--adapter", "m=/x"]).contains("--adapter m has"));
        let many: Vec<String> = (0..33).map(|n| format!("--adapter=a{n}=/x")).collect();
        assert!(
            twice(&many.iter().map(String::as_str).collect::<Vec<_>>()).contains("33 adapters are more than the 32")
        );
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused() {
        for wrong in [["--slots", "0"], ["--context", "1"], ["--kv-type", "q5"], ["--alias", "a b"]] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_api_key_comes_from_a_file_and_is_not_empty() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let empty = parse(&["--api-key-file", path]).unwrap().options();
        assert!(matches!(empty, Err(ArgsError::EmptyApiKey { .. })));
        std::fs::write(file.path(), "sesame\n").unwrap();
        let key = parse(&["--api-key-file", path]).unwrap().options().unwrap().api_key;
        assert_eq!(key.unwrap().expose(), "sesame");
    }
}
