//! The real program against a simulated rack.

mod support;

mod errors;
#[cfg(feature = "cluster-tests")]
mod seed;
