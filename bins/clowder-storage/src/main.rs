//! The storage manager of a node: a cache of models and its REST API.

use clap::Parser;
use clowder_core::{NodeName, Secret, chain};
use clowder_storage::api::server::{Address, Listener};
use clowder_storage::sources::{HubConfig, WebConfig};
use clowder_storage::{Cache, CacheConfig, Sources, api};
use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Keeps the models of a node: fetches them once, verifies them, and tells where they are.
///
/// HF_TOKEN and HF_ENDPOINT are heeded for hf:// URLs. A token for callers comes from CLOWDER_STORAGE_TOKEN or a file; it is
/// needed where other machines reach the address.
#[derive(Debug, Parser)]
#[command(name = "clowder-storage", version)]
struct Args {
    /// Folder of the cache [default: /var/lib/clowder/cache; also CACHE_DIR]
    #[arg(long, value_name = "FOLDER", env = "CLOWDER_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// HOST:PORT, :PORT or unix:/PATH [default: localhost:8050; also NEKKO_ADDRESS]
    #[arg(long, value_name = "ADDRESS", env = "CLOWDER_STORAGE_ADDRESS")]
    address: Option<String>,
    /// The most that the cache may take, as 200G or 1500M; models not used for longest go first [default: no limit]
    #[arg(long, value_name = "SIZE", env = "CLOWDER_CACHE_MAX_SIZE", value_parser = size)]
    max_size: Option<u64>,
    /// File with the token that callers must bear
    #[arg(long, value_name = "FILE", env = "CLOWDER_STORAGE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// How much to tell: 0, 1 or 2 [default: 0; also VERBOSE]
    #[arg(short, long, value_name = "LEVEL", env = "CLOWDER_VERBOSE", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u8).range(0..=2))]
    verbose: Option<u8>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let original = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let verbosity = args.verbose.or_else(|| original("VERBOSE")?.to_str()?.parse().ok()).unwrap_or(0);
    let filter = match verbosity {
        0 => "info",
        1 => "info,clowder_storage=debug,clowder_core=debug",
        _ => "debug,clowder_storage=trace,clowder_core=trace",
    };
    tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clowder-storage: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let folder = args.cache_dir.or_else(|| std::env::var_os("CACHE_DIR").map(PathBuf::from));
    let folder = folder.unwrap_or_else(|| PathBuf::from("/var/lib/clowder/cache"));
    let address = args.address.or_else(|| std::env::var("NEKKO_ADDRESS").ok());
    let address: Address = address.as_deref().unwrap_or("localhost:8050").parse()?;
    let token = token(args.token_file)?;
    let listener = Listener::bind(address, token.is_some()).await?;
    let config = CacheConfig { max_bytes: args.max_size, ..CacheConfig::new(NodeName::from("local"), folder) };
    let cache = Cache::open(config, Sources::standard(&WebConfig::default(), HubConfig::from_env())?).await?;
    tracing::info!(address = %listener.address(), folder = %cache.folder().display(), "serving");
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tracing::info!("stopping");
    };
    listener.serve(api::router(cache, token), stop).await?;
    Ok(())
}

fn token(file: Option<PathBuf>) -> Result<Option<Secret>, String> {
    let text = match file {
        Some(path) => {
            let read = std::fs::read_to_string(&path);
            Some(read.map_err(|error| format!("the token file {} cannot be read: {error}", path.display()))?)
        }
        None => std::env::var("CLOWDER_STORAGE_TOKEN").ok(),
    };
    match text.as_deref().map(str::trim) {
        Some("") => Err("the token is empty: write one into the file, or unset CLOWDER_STORAGE_TOKEN".to_owned()),
        Some(token) => Ok(Some(Secret::new(token))),
        None => Ok(None),
    }
}

/// `1500M`, `200G`, `200GiB`, `2T` or plain bytes; powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.trim().to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("write a number of bytes, or one with K, M, G or T".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "write a number of bytes, or one with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "that is more than any disk has".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Args::command().debug_assert();
        assert_eq!(Args::parse_from(["clowder-storage", "-v"]).verbose, Some(1));
        assert_eq!(Args::parse_from(["clowder-storage", "-v2"]).verbose, Some(2));
    }

    #[test]
    fn sizes() {
        assert_eq!(size("12"), Ok(12));
        assert_eq!(size("2K"), Ok(2048));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert!(size("").is_err() && size("x").is_err() && size("99999999T").is_err() && size("1X").is_err());
    }
}
