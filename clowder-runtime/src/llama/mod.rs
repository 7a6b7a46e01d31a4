//! A thin safe layer over llama.cpp: model, context, batch and samplers, as the engine needs them.
//!
//! The only module of the workspace with `unsafe` code. What llama.cpp answers with an abort of the process (a batch
//! larger than the context's, a token outside the vocabulary, a row of logits that is not there) is checked here and
//! is an ordinary error.

mod batch;
mod context;
mod log;
mod model;
mod sampler;
mod settings;

pub(crate) use batch::Batch;
pub(crate) use context::{Context, ContextOptions, DecodeError, SeqId};
pub(crate) use model::{LoadError, Model};
pub(crate) use sampler::{Candidates, Sampler};

use std::sync::Once;

/// Starts llama.cpp in this process and sends its log to `tracing`; once, however often called.
fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        log::redirect();
        // SAFETY: called once in the process, before any other function of llama.cpp but the log's.
        unsafe { llama_cpp_sys_2::llama_backend_init() };
    });
}
