//! `clowder-storage`: the server.

use crate::BoxError;
use crate::token::token;
use clap::Args;
use clowder_core::NodeName;
use clowder_storage::api::server::{Address, Listener};
use clowder_storage::sources::{BuiltinSource, HubConfig, WebConfig};
use clowder_storage::{Cache, CacheConfig, Sources, api};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// What the program carries: a cluster without a way out has a model, too.
static KITTEN: &[u8] = include_bytes!("../../../models/kitten/kitten.gguf");

/// What the server is told.
#[derive(Debug, Args)]
pub(crate) struct Serve {
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
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    pub(crate) async fn run(self) -> Result<(), BoxError> {
        let folder = self.cache_dir.or_else(|| std::env::var_os("CACHE_DIR").map(PathBuf::from));
        let folder = folder.unwrap_or_else(|| PathBuf::from("/var/lib/clowder/cache"));
        let address = self.address.or_else(|| std::env::var("NEKKO_ADDRESS").ok());
        let address: Address = address.as_deref().unwrap_or("localhost:8050").parse()?;
        let token = token(self.token_file)?;
        let listener = Listener::bind(address, token.is_some()).await?;
        let config = CacheConfig { max_bytes: self.max_size, ..CacheConfig::new(NodeName::from("local"), folder) };
        let sources = Sources::standard(&WebConfig::default(), HubConfig::from_env())?;
        let cache = Cache::open(config, sources.with(BuiltinSource::new([("kitten", KITTEN)]))).await?;
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

    #[test]
    fn sizes() {
        assert_eq!(size("12"), Ok(12));
        assert_eq!(size("2K"), Ok(2048));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert!(size("").is_err() && size("x").is_err() && size("99999999T").is_err() && size("1X").is_err());
    }
}
