#![doc = include_str!("../README.md")]

mod backend;
mod budgets;
pub mod call;
mod convert;
mod desired;
mod details;
pub mod feeds;
mod managers;
mod mirror;
pub mod model;
pub mod names;
pub mod observe;
pub mod pod;
mod publish;
pub mod status;
mod statuses;

pub use backend::KubernetesBackend;
pub use budgets::BudgetWriter;
pub use convert::InvalidModel;
pub use desired::{DesiredRefused, KubernetesDesired};
pub use managers::StorageManagers;
pub use model::Model;
pub use pod::WorkerTemplate;
pub use publish::StatusWriter;
pub use statuses::statuses;
