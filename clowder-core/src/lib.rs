#![doc = include_str!("../README.md")]

pub mod autoscale;
pub mod backend;
mod chain;
pub mod check;
pub mod demand;
pub mod desired;
mod due;
pub mod engine;
pub mod gguf;
pub mod infra;
pub mod inspect;
pub mod memory;
pub mod model;
mod news;
pub mod node;
pub mod pins;
pub mod placement;
pub mod plan;
pub mod reconcile;
pub mod secret;
pub mod source;
pub mod status;
pub mod stock;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod url;
pub mod worker;

pub use backend::{Backend, BackendError};
pub use chain::chain;
pub use desired::DesiredStore;
pub use due::until;
pub use engine::Engine;
pub use infra::Infra;
pub use model::{ModelName, ModelSpec};
pub use news::send_if_new;
pub use node::{Inventory, Node, NodeName};
pub use pins::PinWriter;
pub use placement::Placement;
pub use plan::{Action, Plan};
pub use reconcile::Reconciler;
pub use secret::Secret;
pub use source::ModelSource;
pub use store::ModelStore;
pub use url::ModelUrl;
pub use worker::{Worker, WorkerId, WorkerState};

/// A source error of another crate, kept for its chain of causes.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A boxed stream that owns all it needs.
pub type BoxStream<T> = futures::stream::BoxStream<'static, T>;
