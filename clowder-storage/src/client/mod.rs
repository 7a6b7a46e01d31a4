//! Callers of storage managers: one manager over its REST API, and all of a cluster as one
//! [`ModelStore`](clowder_core::ModelStore).

mod error;
mod manager;
mod managers;

pub use error::ManagerError;
pub use manager::{Fetched, Manager};
pub use managers::{Directory, Managers};
