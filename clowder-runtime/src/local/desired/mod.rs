//! What the user asked for, in a file of this machine.

mod file;
mod record;
mod store;

pub use store::{DesiredFile, DesiredFileError};
