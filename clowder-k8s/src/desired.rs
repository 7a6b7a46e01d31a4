//! `Model` resources as the store of desired state.

mod claims;
mod records;
mod secrets;
mod store;
mod write;

pub(crate) use records::{Resource, View};
pub use store::{DesiredRefused, KubernetesDesired};
