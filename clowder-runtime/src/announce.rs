//! What a worker process and the one that started it say to each other.
//!
//! The worker writes one line of JSON to its standard output, an [`Announcement`], when it serves or knows that it never
//! will; the log goes to standard error. It ends when its standard input does, so that no worker outlives whoever
//! started it, and it drains on `SIGTERM`.

use serde::{Deserialize, Serialize};

/// Exit code of a worker whose model cannot be loaded, now or later.
pub const EXIT_UNLOADABLE: u8 = 3;

/// Exit code of a worker whose model was removed before the worker held it: it must be fetched anew.
pub const EXIT_REMOVED: u8 = 4;

/// The one line a worker writes to its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announcement {
    /// The model is loaded and requests are taken.
    Serving {
        /// Base URL of the OpenAI API: `http://127.0.0.1:41234`.
        endpoint: String,
        /// Tokens of context of one request.
        context: u32,
        /// Requests generated at the same time.
        slots: u32,
    },
    /// The model cannot be loaded; the process exits with [`EXIT_UNLOADABLE`].
    Unloadable {
        /// Why and what to do, for a person.
        reason: String,
    },
}
