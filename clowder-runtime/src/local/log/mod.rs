//! What workers write: kept in files of bounded size, and handed to whoever follows as it comes.

mod folder;
mod lines;
mod pump;
mod rotate;
mod worker;

pub(super) use folder::LogFolder;
pub(super) use pump::pump;
pub(super) use worker::{Kept, WorkerLog};
