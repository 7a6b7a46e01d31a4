#![doc = include_str!("../README.md")]

mod admission;
mod auth;
mod body;
mod config;
mod directory;
mod endpoint;
mod error;
mod gateway;
mod host;
mod http;
mod keys;
mod metrics;
mod openai;
mod ops;
pub mod policy;
mod proxy;
mod readiness;
mod request;
mod routing;
mod serve;
mod token;
mod trial;

pub use auth::{ExposureError, check_exposure};
pub use config::{Auth, GatewayConfig, Limits, Timeouts};
pub use gateway::{Collaborators, Gateway, GatewayError};
pub use keys::{ApiKeysError, read_api_keys};
pub use policy::{PolicyKind, RoutingPolicy};
pub use token::{AdminToken, AdminTokenError};
