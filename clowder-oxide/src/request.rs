//! Bodies of requests, made without asking anybody: what is sent is what these return.

use crate::error::OxideError;
use oxide::types;

pub(crate) mod firewall;
pub(crate) mod image;
pub(crate) mod instance;
pub(crate) mod network;

/// A name as the rack wants it.
pub(crate) fn name(name: &str) -> Result<types::Name, OxideError> {
    types::Name::try_from(name).map_err(|_| OxideError::InvalidName { name: name.chars().take(80).collect() })
}
