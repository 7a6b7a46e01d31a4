//! The real program, from outside: what people type and what they get.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod chat;
mod errors;
mod lifecycle;
mod support;
