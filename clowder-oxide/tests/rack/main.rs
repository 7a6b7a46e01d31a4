//! The library against a simulated rack, over HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod cluster;
mod crashes;
mod faults;
mod refusals;
mod running;
mod secrets;
mod support;
mod teardown;
