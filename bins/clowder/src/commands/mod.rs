//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod nodes;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod serve;
pub(crate) mod status;
mod wait;
pub(crate) mod worker;

use crate::client::Client;
use crate::exit::Error;

/// The error for a model that does not exist, with the names that do.
async fn no_such_model(client: &Client, name: &str) -> Error {
    let names = client.model_names().await.unwrap_or_default();
    let known = match names.is_empty() {
        true => "no model is served: `clowder deploy SOURCE` serves one".to_owned(),
        false => format!("there are: {}", names.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Error::not_found(format!("there is no model {name:?} on {}; {known}", client.server()))
}
