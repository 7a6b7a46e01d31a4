//! Conformance suites, and the in-memory implementations that are held against them.
//!
//! An implementation of one of this crate's traits calls the suite of that trait from its own tests; a suite panics with
//! what was expected. Suites await events with a deadline of [`PATIENCE`], never a sleep.

use futures::{Stream, StreamExt};
use std::time::Duration;

pub mod backend;
pub mod desired;
pub mod engine;
pub mod infra;
pub mod placement;
pub mod source;
pub mod store;

pub use backend::InMemoryBackend;
pub use desired::InMemoryDesired;
pub use engine::ScriptedEngine;
pub use infra::InMemoryInfra;
pub use source::InMemorySource;
pub use store::InMemoryStore;

/// How long a suite waits for an event before it says that the event never came.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The first item of a stream that fits.
///
/// # Panics
/// If none comes within [`PATIENCE`] or the stream ends.
pub async fn eventually<T>(stream: impl Stream<Item = T>, what: &str, fits: impl Fn(&T) -> bool) -> T {
    let mut stream = std::pin::pin!(stream);
    let search = async {
        while let Some(item) = stream.next().await {
            if fits(&item) {
                return Some(item);
            }
        }
        None
    };
    match tokio::time::timeout(PATIENCE, search).await {
        Ok(Some(item)) => item,
        Ok(None) => panic!("the stream ended before {what}"),
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// A small valid GGUF header and tensor: what sources and stores are tested with. `seed` makes different files.
pub fn tiny_gguf(seed: u8) -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let number =
        |key: &str, value: u32| [string(key), 4_u32.to_le_bytes().to_vec(), value.to_le_bytes().to_vec()].concat();
    let entries = [
        [string("general.architecture"), 8_u32.to_le_bytes().to_vec(), string("llama")].concat(),
        number("llama.context_length", 512),
        number("llama.block_count", 1),
        number("llama.embedding_length", 32),
        number("llama.attention.head_count", 1),
    ];
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend((entries.len() as u64).to_le_bytes());
    bytes.extend(entries.concat());
    bytes.extend(string("token_embd.weight"));
    bytes.extend(2_u32.to_le_bytes());
    bytes.extend([32_u64, 1000].map(u64::to_le_bytes).concat());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    let weights = (0..32 * 1000 * 4_usize).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed));
    bytes.extend(weights);
    bytes
}

/// The least LoRA adapter that passes for one, made for [`tiny_gguf`]'s model.
pub fn tiny_adapter_gguf() -> Vec<u8> {
    let string = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let text = |key: &str, value: &str| [string(key), 8_u32.to_le_bytes().to_vec(), string(value)].concat();
    let entries = [
        text("general.architecture", "llama"),
        text("general.type", "adapter"),
        text("adapter.type", "lora"),
        [string("adapter.lora.alpha"), 6_u32.to_le_bytes().to_vec(), 1_f32.to_le_bytes().to_vec()].concat(),
    ];
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend((entries.len() as u64).to_le_bytes());
    bytes.extend(entries.concat());
    bytes
}

/// The value of a watch channel now and after each change.
pub fn updates<T: Clone + Send + Sync + 'static>(receiver: tokio::sync::watch::Receiver<T>) -> crate::BoxStream<T> {
    let mut receiver = receiver;
    receiver.mark_changed();
    futures::stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        let value = receiver.borrow_and_update().clone();
        Some((value, receiver))
    })
    .boxed()
}
