#![doc = include_str!("../README.md")]

pub mod api;
pub mod cache;
pub mod client;
pub mod sources;

pub use cache::{Cache, CacheConfig, CachedSource};
pub use sources::Sources;
