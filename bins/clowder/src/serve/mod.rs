//! A whole engine on this machine, put together: gateway and storage in this process, workers as child processes.

pub(crate) mod builtin;
mod ephemeral;
mod error;
mod lock;
mod server;
mod signals;
mod storage;

pub(crate) use ephemeral::Ephemeral;
pub(crate) use error::ServeError;
pub(crate) use lock::HomeLock;
pub(crate) use server::{CacheFolder, Options, Server};
pub(crate) use signals::Termination;
pub(crate) use storage::open_cache_alone;

use crate::exit::Error;
use crate::home::Home;
use clowder_core::DesiredStore;
use clowder_core::desired::DesiredModels;
use clowder_runtime::local::DesiredFile;
use std::sync::Arc;

/// The models that a server on this home folder would serve. To be asked while none runs.
pub(crate) async fn recorded_models(home: &Home) -> Result<Arc<DesiredModels>, Error> {
    if !home.models().exists() {
        return Ok(Arc::default());
    }
    let record = DesiredFile::open(home.models()).await.map_err(ServeError::part("the record of models"))?;
    Ok(record.list().await.map_err(ServeError::part("the record of models"))?)
}
