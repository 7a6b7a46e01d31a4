#![doc = include_str!("../README.md")]

pub mod announce;
#[cfg(feature = "clap")]
pub mod args;
pub mod engine;
pub mod hold;
#[expect(unsafe_code, reason = "the binding to llama.cpp, and the only such module")]
mod llama;
pub mod local;
pub mod server;
pub mod template;
pub mod worker;
