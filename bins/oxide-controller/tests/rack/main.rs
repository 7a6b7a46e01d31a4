//! The real program against a simulated rack.

mod support;

#[cfg(feature = "cluster-tests")]
mod demand;
mod errors;
#[cfg(feature = "cluster-tests")]
mod seed;
