//! What a person who waits is told.

use crate::rack::ImageProgress;
use crate::step::Step;
use std::fmt;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A step is being taken.
    Doing(Step),
    /// A step was taken.
    Done(Step),
    /// A step failed; it is taken again.
    Failed {
        /// Which.
        step: Step,
        /// Why, in one line.
        reason: String,
    },
    /// An import is so far.
    Image(ImageProgress),
    /// Nothing can be done but wait, and for what. Told once, until something else is waited for.
    Waiting(String),
    /// Something that a person should know of. Told once, until it is over.
    Problem(String),
    /// All is as it should be.
    Settled,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Doing(step) => write!(f, "{step} …"),
            Self::Done(step) => write!(f, "{step}: done"),
            Self::Failed { step, reason } => write!(f, "{step}: failed, tried again later: {reason}"),
            Self::Image(progress) => {
                let percent = progress.done.saturating_mul(100).checked_div(progress.total).unwrap_or(100);
                write!(f, "import image {}: {percent} %", progress.image)
            }
            Self::Waiting(what) => write!(f, "waiting for {what}"),
            Self::Problem(what) => write!(f, "problem: {what}"),
            Self::Settled => f.write_str("all is as it should be"),
        }
    }
}

/// Is told what happens. It must not block.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn tell(&self, event: &Event);
}

/// Tells nobody but the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logged;

impl Progress for Logged {
    fn tell(&self, event: &Event) {
        match event {
            Event::Failed { .. } | Event::Problem(_) => tracing::warn!("{event}"),
            Event::Image(_) => tracing::debug!("{event}"),
            _ => tracing::info!("{event}"),
        }
    }
}
