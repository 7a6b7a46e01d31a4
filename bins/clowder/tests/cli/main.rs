//! The real program, from outside: what people type and what they get.

mod chat;
mod errors;
mod lifecycle;
mod support;
