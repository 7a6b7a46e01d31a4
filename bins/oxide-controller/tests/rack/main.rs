//! The real program against a simulated rack.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

#[cfg(feature = "cluster-tests")]
mod demand;
mod errors;
#[cfg(feature = "cluster-tests")]
mod seed;
