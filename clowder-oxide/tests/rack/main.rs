//! The library against a simulated rack, over HTTP.

mod cluster;
mod crashes;
mod faults;
mod refusals;
mod running;
mod support;
