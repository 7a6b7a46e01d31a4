//! One machine as a cluster of its own: workers as supervised child processes, desired state in a file.
//!
//! [`LocalBackend`] is the [`Backend`](clowder_core::Backend) of a single machine. Each worker is a process of its own, so
//! a crash inside llama.cpp takes down one worker and never the program that started it, and the operating system gives
//! its memory back whole. It wants a Unix. [`DesiredFile`] is the matching [`DesiredStore`](clowder_core::DesiredStore).
//!
//! # How a worker lives
//!
//! ```text
//! Pending ─→ Fetching ─→ Starting ─→ Ready ─→ Draining ─→ Stopped
//!               ↑  │         │         │
//!               │  └────┬────┴─────────┘
//!               │    Backoff  or, where trying again mends nothing, Failed
//!               └───────┘
//! ```
//!
//! One task supervises one worker. It asks the [`ModelStore`](clowder_core::ModelStore) for the model, starts the process
//! and reads the one [`Announcement`](crate::announce::Announcement) from its standard output. When the process ends, the
//! task says why in words ([`LastExit`](clowder_core::worker::LastExit)) and starts another, at once after a first crash
//! and ever later after more. A model that cannot be loaded, or that its source does not have, is not tried again until
//! the worker is started with another spec.
//!
//! # What holds
//!
//! - No worker outlives its backend: a worker ends when its standard input does, and a dropped backend kills what is left.
//! - No credential reaches a worker: the model store alone gets those of a model, and the environment of a worker is
//!   without `CLOWDER_*` and whatever is named like a secret.
//! - A terminal's Ctrl-C reaches the program alone, which drains its workers by [`LocalBackend::shutdown`].
//! - A fault in a model store is a worker's failure, with a reason and another attempt.
//! - Logs, announcements, workers and desired models are bounded in number and size.
//!
//! # Example
//!
//! ```no_run
//! use clowder_core::{Backend, ModelStore};
//! use clowder_runtime::local::{LocalBackend, LocalConfig, WorkerCommand};
//! use futures::StreamExt;
//! use std::sync::Arc;
//!
//! # async fn example(store: Arc<dyn ModelStore>) -> Result<(), Box<dyn std::error::Error>> {
//! // The same executable is the worker: `PROGRAM worker --model-path … --supervised`.
//! let command = WorkerCommand { program: std::env::current_exe()?, args: vec!["worker".into()] };
//! let backend = LocalBackend::open(LocalConfig::new(command, "/var/lib/clowder/logs"), store).await?;
//!
//! // The reconciler applies actions; whoever wants to know watches.
//! let mut inventories = backend.watch();
//! tokio::select! {
//!     () = async {
//!         while let Some(inventory) = inventories.next().await {
//!             for worker in inventory.workers.values() {
//!                 println!("{} is {}", worker.id, worker.state.phase());
//!             }
//!         }
//!     } => {}
//!     interrupted = tokio::signal::ctrl_c() => interrupted?,
//! }
//! backend.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod backend;
mod backoff;
mod board;
mod command;
mod config;
mod desired;
mod error;
mod exit;
mod files;
mod fleet;
mod log;
mod machine;
mod process;
mod supervisor;
#[cfg(test)]
mod tests;

pub use backend::LocalBackend;
pub use config::{BackoffSettings, LocalConfig, LogLimits, WorkerCommand};
pub use desired::{DesiredFile, DesiredFileError};
pub use error::LocalError;
