#![doc = include_str!("../README.md")]

pub mod announce;
pub mod engine;
#[expect(unsafe_code, reason = "the binding to llama.cpp, and the only such module")]
mod llama;
pub mod local;
