#![doc = include_str!("../README.md")]

mod convert;
pub mod model;
pub mod status;

pub use convert::InvalidModel;
pub use model::Model;
