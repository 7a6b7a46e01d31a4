//! A [`LocalBackend`](super::LocalBackend) with real child processes: scripts that speak a worker's side of the contract.

mod failures;
mod fixture;
mod lifecycle;
mod logs;
