//! The model cache of this machine and where it fetches from.

use super::{ServeError, builtin};
use clowder_core::NodeName;
use clowder_storage::sources::{BuiltinSource, HubConfig, WebConfig};
use clowder_storage::{Cache, CacheConfig, Sources};
use std::path::PathBuf;

/// Opens the cache in a folder; several processes may have it open. It fetches from all sources that this program reads:
/// files, web servers, the Hugging Face hub and the bundled model.
pub(crate) async fn open_cache(node: NodeName, folder: PathBuf) -> Result<Cache, ServeError> {
    let sources =
        Sources::standard(&WebConfig::default(), HubConfig::from_env()).map_err(ServeError::part("fetching"))?;
    let sources = sources.with(BuiltinSource::new(builtin::models()));
    Cache::open(CacheConfig::new(node, folder), sources).await.map_err(ServeError::part("the model cache"))
}

/// Opens the cache for a command that serves nothing.
pub(crate) async fn open_cache_alone(folder: PathBuf) -> Result<Cache, ServeError> {
    open_cache(NodeName("localhost".to_owned()), folder).await
}
